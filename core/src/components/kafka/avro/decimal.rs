//! Decimals: from digits to the bytes that Avro has for them, and back. The bytes are a whole number in two's complement,
//! the most significant first; the schema's scale says where the point is.

use super::schema::Decimal;

/// More bytes than the longest decimal that a schema may ask for.
const MOST_BYTES: usize = 256;

/// The bytes of a number that is written as digits: `-12.34`, also with an exponent. `None` when it is no number, or has
/// more digits before or after the point than the schema allows.
pub(super) fn from_text(text: &str, decimal: Decimal) -> Option<Vec<u8>> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    // Digits behind the point that the schema has and the text has not; negative when the text has more.
    let missing =
        i64::try_from(decimal.scale).ok()? - i64::try_from(fraction.len()).ok()? + i64::from(exponent);
    let scaled = match usize::try_from(missing) {
        Ok(_) if digits.is_empty() => String::new(),
        Ok(zeros) if zeros <= decimal.precision => format!("{digits}{}", "0".repeat(zeros)),
        Ok(_) => return None,
        Err(_) => {
            // What the schema has no place for must be zeros.
            let surplus = usize::try_from(missing.unsigned_abs()).ok()?;
            let kept = digits.len().saturating_sub(surplus);
            let (kept, lost) = digits.split_at(kept);
            if lost.bytes().any(|digit| digit != b'0') {
                return None;
            }
            kept.to_owned()
        }
    };
    if scaled.len() > decimal.precision {
        return None;
    }
    Some(complement(&magnitude(&scaled), negative))
}

/// The whole number as bytes without a sign, the least significant first.
fn magnitude(digits: &str) -> Vec<u8> {
    let mut bytes: Vec<u8> = Vec::new();
    for digit in digits.bytes() {
        let mut carry = u16::from(digit - b'0');
        for byte in &mut bytes {
            let product = u16::from(*byte) * 10 + carry;
            [*byte, _] = product.to_le_bytes();
            carry = product >> 8;
        }
        if carry > 0 {
            bytes.push(carry.to_le_bytes()[0]);
        }
    }
    bytes
}

/// The shortest two's complement, the most significant byte first.
fn complement(magnitude: &[u8], negative: bool) -> Vec<u8> {
    let mut bytes = magnitude.to_vec();
    bytes.push(0);
    if negative {
        negate(&mut bytes);
    }
    while let [.., second, last] = bytes[..]
        && (last == 0 && second < 0x80 || last == 0xff && second >= 0x80)
    {
        bytes.pop();
    }
    bytes.reverse();
    bytes
}

/// The negative of a number whose least significant byte stands first.
fn negate(bytes: &mut [u8]) {
    let mut carry = true;
    for byte in bytes {
        let (sum, over) = (!*byte).overflowing_add(u8::from(carry));
        *byte = sum;
        carry = over;
    }
}

/// The digits of a decimal; `None` when it is longer than any schema allows.
pub(super) fn to_text(bytes: &[u8], decimal: Decimal) -> Option<String> {
    if bytes.len() > MOST_BYTES {
        return None;
    }
    let negative = bytes.first().is_some_and(|first| *first >= 0x80);
    let mut rest: Vec<u8> = bytes.iter().rev().copied().collect();
    if negative {
        // One byte more, because the negative of the smallest number needs it.
        rest.push(0xff);
        negate(&mut rest);
    }
    let mut digits = Vec::new();
    loop {
        while rest.last() == Some(&0) {
            rest.pop();
        }
        if rest.is_empty() {
            break;
        }
        let mut remainder = 0_u16;
        for byte in rest.iter_mut().rev() {
            let value = remainder << 8 | u16::from(*byte);
            [*byte, _] = (value / 10).to_le_bytes();
            remainder = value % 10;
        }
        digits.push(b'0' + remainder.to_le_bytes()[0]);
    }
    while digits.len() <= decimal.scale {
        digits.push(b'0');
    }
    let mut text = String::with_capacity(digits.len() + 2);
    if negative {
        text.push('-');
    }
    for (index, digit) in digits.iter().enumerate().rev() {
        text.push(char::from(*digit));
        if index == decimal.scale && index > 0 {
            text.push('.');
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONEY: Decimal = Decimal { precision: 6, scale: 2 };

    #[test]
    fn digits_become_bytes_and_bytes_digits() {
        for (text, bytes) in [
            ("0.00", &[0][..]),
            ("12.34", &[0x04, 0xd2]),
            ("-12.34", &[0xfb, 0x2e]),
            ("1.27", &[0x7f]),
            ("1.28", &[0x00, 0x80]),
            ("-1.28", &[0x80]),
            ("-1.29", &[0xff, 0x7f]),
            ("2.55", &[0x00, 0xff]),
            ("2.56", &[0x01, 0x00]),
            ("9999.99", &[0x0f, 0x42, 0x3f]),
        ] {
            assert_eq!(from_text(text, MONEY).as_deref(), Some(bytes), "{text}");
            assert_eq!(to_text(bytes, MONEY).as_deref(), Some(text));
        }
        let long = Decimal { precision: 60, scale: 0 };
        let digits = "123456789012345678901234567890123456789012345678901234567890";
        let bytes = from_text(digits, long).expect("a decimal");
        assert_eq!(to_text(&bytes, long).as_deref(), Some(digits));
    }

    #[test]
    fn what_the_schema_has_no_place_for_is_refused() {
        for text in ["1.234", "12345.00", "", "-", ".5", "1,5", "x", "0x10", "1e9", "1e2147483647", "٣"] {
            assert_eq!(from_text(text, MONEY), None, "{text}");
        }
        for text in ["1.2300", "1.23", "123e-2", "0.0123e2", "001.23"] {
            assert_eq!(from_text(text, MONEY).as_deref(), Some(&[123][..]), "{text}");
        }
        for zero in ["0", "-0", "0.000", "0e30", "0e-30"] {
            assert_eq!(from_text(zero, MONEY).as_deref(), Some(&[0][..]), "{zero}");
        }
        assert_eq!(to_text(&[], MONEY).as_deref(), Some("0.00"));
        assert_eq!(to_text(&[0x7f; 257], MONEY), None);
    }
}
