//! Tests of the flags.

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

fn parse(words: &[&str]) -> Result<Options, String> {
    let words = ["serve"].into_iter().chain(words.iter().copied());
    Line::try_parse_from(words).map(|line| line.options).map_err(|error| error.to_string())
}

#[test]
fn defaults_are_those_of_dapr() {
    let options = parse(&[]).unwrap();
    assert_eq!((options.http_port(), options.grpc_port()), (3500, 50001));
    assert_eq!(options.max_body_size, MaxBodySize(Some(4 << 20)));
    assert_eq!(options.app_binding_options_timeout, Duration::from_secs(3));
    assert_eq!((options.concurrency(), options.protocol()), (None, AppProtocol::Http));
}

#[test]
fn a_body_of_minus_one_has_the_default_limit_and_of_zero_none() {
    let limit = |text| parse(&["--max-body-size", text]).unwrap().max_body_size.0;
    assert_eq!(limit("-1"), Some(4 << 20));
    assert_eq!(limit("0"), None);
    assert_eq!(limit("10k"), Some(10_000));
    assert!(parse(&["--max-body-size", "4KB"]).is_err());
}

#[test]
fn a_probe_time_of_nothing_or_less_is_three_seconds() {
    for text in ["0", "-1s", "0s"] {
        assert_eq!(options_timeout(text), Ok(Duration::from_secs(3)), "{text}");
    }
    assert_eq!(options_timeout("250ms"), Ok(Duration::from_millis(250)));
}

#[test]
fn old_flags_still_mean_what_they_did() {
    let options = parse(&["--app-ssl", "--components-path", "a,b"]).unwrap();
    assert_eq!(options.protocol(), AppProtocol::Https);
    assert_eq!(options.resources(), Some(&vec![PathBuf::from("a"), PathBuf::from("b")]));
}

#[test]
fn ports_that_collide_and_ids_with_dots_are_refused() {
    for words in [
        &["--app-port", "3500"][..],
        &["--app-port", "50001"],
        &["--dapr-http-port", "9", "--dapr-grpc-port", "9"],
        &["--app-id", "a.b"],
        &[
            "--enable-app-health-check",
            "--app-health-probe-interval",
            "1",
            "--app-health-probe-timeout",
            "1001",
        ],
    ] {
        assert!(parse(words).unwrap().fault().is_some(), "{words:?}");
    }
    assert_eq!(parse(&["--app-id", "a", "--app-port", "80"]).unwrap().fault(), None);
}
