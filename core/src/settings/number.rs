//! Texts of numbers, booleans, durations and byte sizes, read as Go and Kubernetes read them. Nothing here
//! can overflow. Tests are in `tests.rs`.

use std::time::Duration;

/// Go counts nanoseconds in an `i64`: about 292 years. The limit also keeps `Instant + Duration` safe.
const MAX_NANOS: u128 = i64::MAX as u128;
const NANOS_PER_SECOND: u128 = 1_000_000_000;

const NO_DURATION: &str = "expected a duration such as 1h30m, 90s or 100ms";
const NEGATIVE: &str = "expected a duration that is not negative";
const TOO_LONG: &str = "expected a duration of at most 292 years";
const NO_SIZE: &str = "expected a size in bytes such as 4096, 64Ki, 10Mi, 500k or 1G";
const TOO_LARGE: &str = "expected a size in bytes that fits in 64 bits";

/// What the value should have been.
pub(super) type Expectation = &'static str;

/// Dapr's boolean: everything that is not one of these words is false.
pub(super) fn parse_lenient_bool(text: &str) -> bool {
    matches!(text.trim().to_ascii_lowercase().as_str(), "y" | "yes" | "true" | "t" | "on" | "1")
}

/// Go's `ParseBool`.
pub(super) fn parse_strict_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// Go's `ParseInt` with base 0: a sign, `0x`, `0o` (or a bare `0`) and `0b`, `_` between digits. Empty is 0.
pub(crate) fn parse_integer(text: &str) -> Option<i128> {
    if text.is_empty() {
        return Some(0);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let lower = unsigned.to_ascii_lowercase();
    let (radix, digits, prefixed) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..], true),
        [b'0', b'o', ..] => (8, &lower[2..], true),
        [b'0', b'b', ..] => (2, &lower[2..], true),
        [b'0', _, ..] => (8, &lower[1..], true),
        _ => (10, lower.as_str(), false),
    };
    // A `_` must stand between digits, where a prefix counts as one.
    let digits = if prefixed { digits.strip_prefix('_').unwrap_or(digits) } else { digits };
    if digits.split('_').any(str::is_empty) || digits.starts_with(['+', '-']) {
        return None;
    }
    let number = i128::from_str_radix(&digits.replace('_', ""), radix).ok()?;
    Some(if text.starts_with('-') { -number } else { number })
}

/// A finite decimal number. Empty is 0.
pub(super) fn parse_float(text: &str) -> Option<f64> {
    if text.is_empty() {
        return Some(0.0);
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// A Go duration such as `1h2m3.5s`, not negative.
pub(crate) fn parse_go_duration(text: &str) -> Result<Duration, Expectation> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let nanos = if unsigned == "0" { 0 } else { nanos_of(unsigned)? };
    if text.starts_with('-') && nanos > 0 {
        return Err(NEGATIVE);
    }
    duration(nanos)
}

/// A Go duration, or a whole number of units. Empty is 0.
pub(crate) fn parse_duration(text: &str, unit: Duration) -> Result<Duration, Expectation> {
    if text.is_empty() {
        return Ok(Duration::ZERO);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned.is_empty() || !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return parse_go_duration(text);
    }
    // Digits alone fail to parse only by being too many.
    let number = unsigned.parse::<u128>().map_err(|_| TOO_LONG)?;
    if text.starts_with('-') && number > 0 {
        return Err(NEGATIVE);
    }
    duration(number.checked_mul(unit.as_nanos()).ok_or(TOO_LONG)?)
}

fn duration(nanos: u128) -> Result<Duration, Expectation> {
    if nanos > MAX_NANOS {
        return Err(TOO_LONG);
    }
    let seconds = u64::try_from(nanos / NANOS_PER_SECOND).map_err(|_| TOO_LONG)?;
    let rest = u32::try_from(nanos % NANOS_PER_SECOND).map_err(|_| TOO_LONG)?;
    Ok(Duration::new(seconds, rest))
}

/// The sum of numbers with units, without a sign.
fn nanos_of(text: &str) -> Result<u128, Expectation> {
    let mut rest = text;
    let mut total: u128 = 0;
    loop {
        let number;
        (number, rest) = Decimal::split(rest).ok_or(NO_DURATION)?;
        let unit_end =
            rest.find(|letter: char| letter == '.' || letter.is_ascii_digit()).unwrap_or(rest.len());
        let (unit, after) = rest.split_at(unit_end);
        let nanos = number.times(nanos_of_unit(unit).ok_or(NO_DURATION)?).ok_or(TOO_LONG)?;
        total = total.checked_add(nanos.floor).ok_or(TOO_LONG)?;
        rest = after;
        if rest.is_empty() {
            return Ok(total);
        }
    }
}

fn nanos_of_unit(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        // Both the micro sign and the Greek letter.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => NANOS_PER_SECOND,
        "m" => 60 * NANOS_PER_SECOND,
        "h" => 3600 * NANOS_PER_SECOND,
        _ => return None,
    })
}

/// A Kubernetes quantity in bytes; a fraction of a byte counts as one. Empty is 0.
pub(super) fn parse_byte_size(text: &str) -> Result<u64, Expectation> {
    if text.is_empty() {
        return Ok(0);
    }
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (number, suffix) = Decimal::split(unsigned).ok_or(NO_SIZE)?;
    let (factor, shift) = factor_of(suffix).ok_or(NO_SIZE)?;
    let product = number.shifted(shift).and_then(|number| number.times(factor)).ok_or(TOO_LARGE)?;
    let bytes = product.floor + u128::from(product.has_rest);
    if negative && bytes > 0 {
        return Err("expected a size that is not negative");
    }
    u64::try_from(bytes).map_err(|_| TOO_LARGE)
}

/// A suffix's factor and, beyond that, its power of ten.
fn factor_of(suffix: &str) -> Option<(u128, i32)> {
    // `1E` is an exa and `1Ei` an exbi, but `1E3` is a thousand.
    if let Some(exponent) = suffix.strip_prefix(['e', 'E']).and_then(|exponent| exponent.parse().ok()) {
        return Some((1, exponent));
    }
    Some(match suffix {
        "" => (1, 0),
        "Ki" => (1 << 10, 0),
        "Mi" => (1 << 20, 0),
        "Gi" => (1 << 30, 0),
        "Ti" => (1 << 40, 0),
        "Pi" => (1 << 50, 0),
        "Ei" => (1 << 60, 0),
        "n" => (1, -9),
        "u" => (1, -6),
        "m" => (1, -3),
        "k" => (1, 3),
        "M" => (1, 6),
        "G" => (1, 9),
        "T" => (1, 12),
        "P" => (1, 15),
        "E" => (1, 18),
        _ => return None,
    })
}

/// `digits / 10^places`, exact.
struct Decimal {
    digits: u128,
    places: u32,
}

struct Product {
    floor: u128,
    has_rest: bool,
}

impl Decimal {
    /// More decimals than this are too fine for any unit here and are cut off, as Go does.
    const MAX_PLACES: usize = 18;

    /// Splits digits, of which some may follow a point, from what comes after them.
    fn split(text: &str) -> Option<(Self, &str)> {
        let whole_end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
        let (whole, rest) = text.split_at(whole_end);
        let (fraction, rest) = match rest.strip_prefix('.') {
            Some(after) => {
                after.split_at(after.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(after.len()))
            }
            None => ("", rest),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let fraction = &fraction[..fraction.len().min(Self::MAX_PLACES)];
        // Saturating is enough: such a number is beyond every limit that follows.
        let digits = whole
            .bytes()
            .chain(fraction.bytes())
            .fold(0_u128, |number, digit| number.saturating_mul(10).saturating_add(u128::from(digit - b'0')));
        Some((Self { digits, places: u32::try_from(fraction.len()).ok()? }, rest))
    }

    /// Moves the decimal point to the right, or to the left when negative. `None` when that leaves every
    /// range.
    fn shifted(self, by: i32) -> Option<Self> {
        if self.digits == 0 {
            return Some(self);
        }
        let places = i64::from(self.places) - i64::from(by);
        if let Ok(places) = u32::try_from(places) {
            return Some(Self { digits: self.digits, places });
        }
        let factor = 10_u128.checked_pow(u32::try_from(-places).ok()?)?;
        Some(Self { digits: self.digits.checked_mul(factor)?, places: 0 })
    }

    fn times(&self, factor: u128) -> Option<Product> {
        let product = self.digits.checked_mul(factor)?;
        Some(match 10_u128.checked_pow(self.places) {
            Some(divisor) => Product { floor: product / divisor, has_rest: !product.is_multiple_of(divisor) },
            // A divisor above every u128 leaves nothing but a rest.
            None => Product { floor: 0, has_rest: product > 0 },
        })
    }
}
