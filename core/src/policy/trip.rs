//! What opens a breaker: a CEL expression over its counters.

use std::fmt;
use std::sync::{Arc, LazyLock};

use cel::{Context, ExecutionError, Program, Value};

/// The parser bounds nesting, but not chains such as `1+1+1+…`, which cost stack when they are evaluated: at this
/// length less than 200 KiB of it.
const MAX_CHARACTERS: usize = 256;

/// The functions of CEL; making them costs twenty times as much as one evaluation.
static FUNCTIONS: LazyLock<Context<'static, 'static>> = LazyLock::new(Context::default);

/// The names that an expression can use.
const NAMES: [&str; 5] =
    ["requests", "totalSuccesses", "totalFailures", "consecutiveSuccesses", "consecutiveFailures"];

/// What a breaker counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) requests: u64,
    pub(super) total_successes: u64,
    pub(super) total_failures: u64,
    pub(super) consecutive_successes: u64,
    pub(super) consecutive_failures: u64,
}

impl Counts {
    const fn in_order(&self) -> [u64; 5] {
        [
            self.requests,
            self.total_successes,
            self.total_failures,
            self.consecutive_successes,
            self.consecutive_failures,
        ]
    }
}

/// When a breaker opens. The default is `consecutiveFailures > 5`.
#[derive(Clone, Default)]
pub(crate) struct Trip(Option<Arc<Program>>);

impl Trip {
    /// Reads an expression. The error says what is wrong with it; a text beside the expression says why it can never
    /// be true.
    pub(crate) fn parse(text: &str) -> Result<(Self, Option<String>), String> {
        if text.chars().count() > MAX_CHARACTERS {
            return Err(format!("expected an expression of at most {MAX_CHARACTERS} characters"));
        }
        let program = Program::compile(text).map_err(|errors| {
            let first = errors.errors.first();
            let (at, why) = first.map_or((1, ""), |error| (error.pos.1, error.msg.as_str()));
            format!("expected a CEL expression, got {text:?}: character {at}: {why}")
        })?;
        let ones = Counts {
            requests: 1,
            total_successes: 1,
            total_failures: 1,
            consecutive_successes: 1,
            consecutive_failures: 1,
        };
        let doubt = match evaluate(&program, &ones) {
            Err(ExecutionError::UndeclaredReference(name)) => {
                Some(format!("{name:?} is none of {}, so the breaker never opens", NAMES.join(", ")))
            }
            Ok(Value::Bool(_)) | Err(_) => None,
            Ok(_) => Some("the expression is not true or false, so the breaker never opens".to_owned()),
        };
        Ok((Self(Some(Arc::new(program))), doubt))
    }

    /// Whether no expression was given.
    pub(super) const fn is_default(&self) -> bool {
        self.0.is_none()
    }

    /// Whether the breaker opens now. What cannot be evaluated does not open it.
    pub(super) fn is_due(&self, counts: &Counts) -> bool {
        match &self.0 {
            None => counts.consecutive_failures > 5,
            Some(program) => matches!(evaluate(program, counts), Ok(Value::Bool(true))),
        }
    }
}

fn evaluate(program: &Program, counts: &Counts) -> Result<Value, ExecutionError> {
    let mut context = FUNCTIONS.new_inner_scope();
    for (name, count) in NAMES.into_iter().zip(counts.in_order()) {
        context.add_variable_from_value(name, i64::try_from(count).unwrap_or(i64::MAX));
    }
    program.execute(&context)
}

impl fmt::Debug for Trip {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_some() { "Trip(expression)" } else { "Trip(default)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(text: &str, counts: Counts) -> bool {
        Trip::parse(text).expect("an expression").0.is_due(&counts)
    }

    #[test]
    fn six_failures_in_a_row_trip_by_default() {
        let row = |failures| Counts { consecutive_failures: failures, ..Counts::default() };
        assert!(!Trip::default().is_due(&row(5)));
        assert!(Trip::default().is_due(&row(6)));
        assert!(due("consecutiveFailures > 5", row(6)) && !due("consecutiveFailures > 5", row(5)));
    }

    #[test]
    fn every_counter_has_its_name() {
        let counts = Counts {
            requests: 10,
            total_successes: 4,
            total_failures: 6,
            consecutive_successes: 1,
            consecutive_failures: 2,
        };
        assert!(due(
            "requests == 10 && totalSuccesses == 4 && totalFailures == 6 && consecutiveSuccesses == 1 \
             && consecutiveFailures == 2",
            counts
        ));
        assert!(due("requests > 5 && double(totalFailures) / double(requests) >= 0.6", counts));
    }

    #[test]
    fn what_cannot_be_evaluated_or_is_no_boolean_does_not_trip() {
        let counts = Counts { requests: 10, ..Counts::default() };
        for text in ["totalFailures / totalSuccesses > 0", "requests", "nothing > 1"] {
            assert!(!due(text, counts), "{text}");
        }
    }

    #[test]
    fn an_expression_that_can_never_be_true_is_doubted() {
        let doubt = |text| Trip::parse(text).expect("an expression").1;
        assert!(doubt("consecutiveFailure > 5").expect("a doubt").contains("\"consecutiveFailure\""));
        assert!(doubt("requests").expect("a doubt").contains("not true or false"));
        assert_eq!(doubt("[1, 2].exists(x, x > requests)"), None);
        assert_eq!(doubt("totalFailures / totalSuccesses > 0"), None);
    }

    #[test]
    fn what_does_not_parse_is_refused_with_its_place() {
        let error = Trip::parse("consecutiveFailures >").expect_err("nothing after >");
        assert!(error.contains("character 22"), "{error}");
        for text in ["", "a b", "\"", "é > 1", &"1+".repeat(200), &"(".repeat(256)] {
            assert!(Trip::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_longest_chain_fits_a_small_stack() {
        let chain = format!("1{}>1", "+1".repeat(126));
        let evaluate = move || Trip::parse(&chain).expect("an expression").0.is_due(&Counts::default());
        let thread = std::thread::Builder::new().stack_size(512 * 1024).spawn(evaluate).expect("a thread");
        assert!(thread.join().expect("no overflow"));
    }
}
