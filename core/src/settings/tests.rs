//! Tests of how settings find their fields and what their values may be.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::*;
use crate::error::{Error, ErrorCode};
use crate::manifest::Manifest;

/// A component with these properties, the first on line 2, the next on line 3, and so on.
fn component(properties: &[(&str, &str)]) -> Component {
    let items: Vec<_> =
        properties.iter().map(|(name, value)| format!("{{name: {name:?}, value: {value:?}}}")).collect();
    let text = format!(
        "{{apiVersion: dapr.io/v1alpha1, kind: Component, metadata: {{name: a}}, \
         spec: {{type: bindings.test, metadata: [\n{}]}}}}",
        items.join(",\n")
    );
    let manifest = Manifest::parse(text.as_bytes(), "a.yaml", None).expect("one component");
    manifest.components.into_iter().next().expect("one component")
}

fn warned<T: DeserializeOwned>(properties: &[(&str, &str)]) -> (T, Vec<String>) {
    let (settings, warnings) = decode(&component(properties)).expect("good settings");
    (settings, warnings.iter().map(|warning| warning.message().to_owned()).collect())
}

fn read<T: DeserializeOwned>(properties: &[(&str, &str)]) -> T {
    let (settings, warnings) = warned(properties);
    assert!(warnings.is_empty(), "{warnings:?}");
    settings
}

fn refused<T: DeserializeOwned + std::fmt::Debug>(properties: &[(&str, &str)]) -> Error {
    decode::<T>(&component(properties)).expect_err("bad settings")
}

#[derive(Debug, Deserialize)]
struct One<T> {
    x: T,
}

fn one<T: DeserializeOwned>(text: &str) -> T {
    read::<One<T>>(&[("x", text)]).x
}

fn not_one<T: DeserializeOwned + std::fmt::Debug>(text: &str) -> String {
    refused::<One<T>>(&[("x", text)]).message().to_owned()
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
struct Sample {
    brokers: CommaList,
    #[serde(alias = "awsRegion", alias = "zone")]
    region: Option<String>,
    #[serde(default)]
    mode: Mode,
    sasl_password: Option<Secret>,
    #[serde(default)]
    port: u16,
}

#[derive(Debug, Deserialize, PartialEq, Default)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    Newest,
    Oldest,
}

#[test]
fn names_match_without_regard_to_case() {
    let sample: Sample =
        read(&[("BROKERS", "a"), ("SaslPassword", "p"), ("Mode", "OLDEST"), ("port", "0x1F")]);
    assert_eq!(sample.brokers.0, ["a"]);
    assert_eq!(sample.sasl_password.expect("a password").expose(), "p");
    assert_eq!((sample.mode, sample.port, sample.region), (Mode::Oldest, 31, None));
}

#[test]
fn a_bad_value_is_told_with_its_place_and_what_was_expected() {
    let error = refused::<Sample>(&[("brokers", "a"), ("Port", "70000")]);
    assert_eq!(
        error.to_string(),
        "a.yaml:3:23: a: Port: expected a whole number from 0 to 65535, got \"70000\" [INVALID_SETTINGS]; \
         Correct the named setting in the component's document."
    );
}

#[test]
fn a_missing_setting_is_told_with_the_place_of_the_component() {
    let error = refused::<Sample>(&[("port", "1")]);
    assert_eq!(
        (error.code(), error.message()),
        (ErrorCode::InvalidSettings, "brokers: required, but missing")
    );
    let at = error.place_in_file().expect("a place");
    assert_eq!((at.line, at.column), (1, 1));
}

#[test]
fn a_word_outside_the_list_is_told_with_the_list() {
    let message = refused::<Sample>(&[("brokers", "a"), ("mode", "latest")]).message().to_owned();
    assert_eq!(message, "mode: expected one of newest, oldest, got \"latest\"");
}

#[test]
fn unknown_settings_are_warned_about_with_the_nearest_name() {
    let (_, warnings) =
        warned::<Sample>(&[("brokers", "a"), ("saslPasword", "p"), ("maxInflght", "1"), ("color", "red")]);
    assert_eq!(warnings[0], "saslPasword: no setting of bindings.test; did you mean \"saslPassword\"");
    assert_eq!(warnings[1], "maxInflght: no setting of bindings.test; did you mean \"maxInFlight\"");
    assert_eq!(warnings[2], "color: no setting of bindings.test");
    let (_, warnings) =
        decode::<Sample>(&component(&[("brokers", "a"), ("zzz", "p")])).expect("good settings");
    let at = warnings[0].place_in_file().expect("a place");
    assert_eq!((at.line, at.column), (3, 8));
}

#[test]
fn a_very_long_name_or_value_is_cut_in_messages() {
    let long = "ж".repeat(100_000);
    let (_, warnings) = warned::<Sample>(&[("brokers", "a"), (&long, "")]);
    assert!(warnings[0].chars().count() < 200);
    assert!(not_one::<u8>(&long).chars().count() < 200);
}

#[test]
fn settings_of_the_runtime_are_not_warned_about() {
    read::<Sample>(&[
        ("brokers", "a"),
        ("Direction", "input"),
        ("route", "/a"),
        ("deadLetterBinding", "d"),
        ("maxDeliveryCount", "5"),
        ("maxinflight", "1"),
        ("maxUncommitted", "1"),
        ("orderBy", "key"),
    ]);
    let (_, warnings) = warned::<Sample>(&[("brokers", "a"), ("Route", "/a")]);
    assert_eq!(warnings, ["Route: no setting of bindings.test; did you mean \"route\""]);
}

#[test]
fn an_alias_counts_when_the_main_name_is_absent() {
    let region = |properties: &[(&str, &str)]| {
        let mut all = vec![("brokers", "a")];
        all.extend_from_slice(properties);
        let (sample, warnings) = warned::<Sample>(&all);
        (sample.region.expect("a region"), warnings.len())
    };
    assert_eq!(region(&[("AWSregion", "eu")]), ("eu".into(), 0));
    assert_eq!(region(&[("zone", "z"), ("awsRegion", "eu")]), ("z".into(), 1));
    assert_eq!(region(&[("zone", "z"), ("awsRegion", "eu"), ("Region", "r")]), ("r".into(), 2));
    assert_eq!(region(&[("region", "r"), ("zone", "z")]), ("r".into(), 1));
}

#[test]
fn an_outdone_alias_is_warned_about_at_its_place() {
    let given = component(&[("brokers", "a"), ("zone", "z"), ("region", "r")]);
    let (_, warnings) = decode::<Sample>(&given).expect("good settings");
    assert_eq!(warnings[0].message(), "zone: has no effect beside another name of the same setting");
    assert_eq!(warnings[0].place_in_file(), Some(&given.properties[1].name_place));
}

#[test]
fn secrets_are_never_shown() {
    fn long_enough<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        Secret::deserialize(deserializer)?;
        Err(serde::de::Error::custom("expected a longer text"))
    }
    #[derive(Debug, Deserialize)]
    struct Strict {
        #[serde(deserialize_with = "long_enough")]
        #[allow(dead_code, reason = "only its reading matters")]
        password: Secret,
    }
    assert_eq!(refused::<Strict>(&[("password", "hunter2")]).message(), "password: expected a longer text");
    let secret: Secret = one("hunter2");
    assert_eq!(format!("{secret} {secret:?}"), "*** ***");
    assert_eq!(secret, Secret::new("hunter2"));
    assert!(secret.is(b"hunter2") && !secret.is(b"hunter") && !secret.is(b"hunter3") && !secret.is(b""));
}

#[test]
fn flags_are_true_for_a_few_words_and_false_otherwise() {
    for text in ["y", "YES", "true", " t ", "On", "1"] {
        assert!(one::<bool>(text) && *one::<Flag>(text), "{text}");
    }
    for text in ["", "no", "off", "0", "2", "tru", "maybe"] {
        assert!(!one::<bool>(text) && !*one::<Flag>(text), "{text}");
    }
}

#[test]
fn strict_flags_know_two_lists_of_words() {
    for text in ["1", "t", "T", "TRUE", "true", "True"] {
        assert!(*one::<StrictFlag>(text), "{text}");
    }
    for text in ["0", "f", "F", "FALSE", "false", "False"] {
        assert!(!*one::<StrictFlag>(text), "{text}");
    }
    for text in ["", "yes", "on", "tRUE", " true"] {
        assert!(not_one::<StrictFlag>(text).starts_with("x: expected true or false, got"), "{text}");
    }
}

#[test]
fn integers_have_prefixes_and_limits() {
    for (text, number) in [
        ("", 0),
        ("0", 0),
        ("-5", -5),
        ("+7", 7),
        ("0x1f", 31),
        ("0XFF", 255),
        ("0o17", 15),
        ("017", 15),
        ("0b101", 5),
        ("1_000", 1000),
        ("-0x10", -16),
        ("0x_10", 16),
        ("9223372036854775807", i64::MAX),
        ("-9223372036854775808", i64::MIN),
    ] {
        assert_eq!(one::<i64>(text), number, "{text}");
    }
    assert_eq!(one::<u64>("18446744073709551615"), u64::MAX);
    for text in [
        "a",
        "1.5",
        "1e3",
        " 1",
        "08",
        "0x",
        "_1",
        "1_",
        "1__0",
        "--1",
        "+-1",
        "0x-1",
        "9223372036854775808",
        "٣",
    ] {
        assert!(not_one::<i64>(text).contains("expected a whole number from -9223372036854775808"), "{text}");
    }
    assert_eq!(not_one::<u8>("-1"), "x: expected a whole number from 0 to 255, got \"-1\"");
    assert!(not_one::<u64>(&"9".repeat(1000)).contains("expected a whole number"));
}

#[test]
fn numbers_are_finite() {
    assert!((one::<f64>("1.5e3") - 1500.0).abs() < f64::EPSILON);
    assert!(one::<f32>("").abs() < f32::EPSILON);
    for text in ["x", "inf", "NaN", "1e999"] {
        assert!(not_one::<f64>(text).starts_with("x: expected a number, got"), "{text}");
    }
}

#[test]
fn durations_are_go_texts_or_bare_numbers() {
    for (text, millis) in [
        ("", 0),
        ("0", 0),
        ("-0", 0),
        ("5", 5000),
        ("+5", 5000),
        ("1h2m3.5s", 3_723_500),
        ("100ms", 100),
        ("1.5h", 5_400_000),
        (".5s", 500),
        ("1.s", 1000),
        ("2000us", 2),
        ("3000µs", 3),
        ("3000μs", 3),
        ("1000000ns", 1),
        ("-0s", 0),
        ("1h1h", 7_200_000),
    ] {
        assert_eq!(*one::<Seconds>(text), Duration::from_millis(millis), "{text}");
    }
    assert_eq!(*one::<Millis>("250"), Duration::from_millis(250));
    assert_eq!(*one::<Millis>("2s"), Duration::from_secs(2));
    for text in ["1.5", "s", "1 s", "5x", "1h5", "soon", ".", ".s", "1d", "--5s", "+", "-"] {
        assert!(not_one::<Seconds>(text).contains("expected a duration such as"), "{text}");
        assert!(not_one::<Millis>(text).contains("expected a duration such as"), "{text}");
    }
    for text in ["-1", "-5s", "-1ns"] {
        assert!(not_one::<Seconds>(text).contains("not negative"), "{text}");
    }
    for text in [
        &"9".repeat(100),
        "9223372037",
        "2562048h",
        &format!("{}h", "9".repeat(100)),
        "9223372036854775808ns",
    ] {
        assert!(not_one::<Seconds>(text).contains("at most 292 years"), "{text}");
    }
    assert_eq!(one::<Seconds>("9223372036").as_secs(), 9_223_372_036);
}

#[test]
fn sizes_are_kubernetes_quantities() {
    for (text, bytes) in [
        ("", 0),
        ("0", 0),
        ("4096", 4096),
        ("64Ki", 65_536),
        ("10Mi", 10 << 20),
        ("1Gi", 1 << 30),
        ("1Ei", 1 << 60),
        ("500k", 500_000),
        ("1M", 1_000_000),
        ("2E", 2_000_000_000_000_000_000),
        ("1e3", 1000),
        ("1E3", 1000),
        ("1e+3", 1000),
        ("15e-1", 2),
        ("1.5Ki", 1536),
        ("100m", 1),
        ("0.1", 1),
        ("1n", 1),
        (".5k", 500),
        ("+1", 1),
        ("-0", 0),
        ("18446744073709551615", u64::MAX),
        ("1e-999999", 1),
        ("0e999999", 0),
    ] {
        assert_eq!(*one::<ByteSize>(text), bytes, "{text}");
    }
    for text in ["10KB", "1kb", "1K", "Ki", "1 Ki", "x", "1e", "1.5.5", "."] {
        assert!(not_one::<ByteSize>(text).contains("expected a size in bytes such as"), "{text}");
    }
    for text in [
        "18446744073709551616",
        "16Ei",
        "1e20",
        "1e999999",
        &"9".repeat(1000),
        &format!("{}Ei", "9".repeat(39)),
    ] {
        assert!(not_one::<ByteSize>(text).contains("fits in 64 bits"), "{text}");
    }
    assert!(not_one::<ByteSize>("-1").contains("not negative"));
    assert!(not_one::<ByteSize>("1e99999999999").contains("expected a size in bytes such as"));
}

#[test]
fn lists_keep_their_blanks_unless_asked() {
    let list: CommaList = one("a, b,,c ");
    assert_eq!(*list, ["a", " b", "", "c "]);
    assert_eq!(list.trimmed().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert!(one::<CommaList>("").is_empty());
}

#[test]
fn the_runtime_reads_its_own_settings() {
    let settings = RuntimeSettings::of(&component(&[("brokers", "a")])).expect("good settings");
    assert_eq!(settings, RuntimeSettings::default());
    assert_eq!((settings.max_uncommitted, settings.max_in_flight), (1000, None));
    let settings = RuntimeSettings::of(&component(&[("maxInFlight", "4"), ("MAXUNCOMMITTED", "1")]))
        .expect("good settings");
    assert_eq!((settings.max_uncommitted, settings.max_in_flight), (1, Some(4)));
    for name in ["maxInFlight", "maxUncommitted"] {
        let error = RuntimeSettings::of(&component(&[(name, "0")])).expect_err("too small");
        assert_eq!(error.message(), format!("{name}: expected a whole number of at least 1, got \"0\""));
        assert!(RuntimeSettings::of(&component(&[(name, "-1")])).is_err());
    }
}

#[test]
fn a_struct_that_flattens_another_is_refused() {
    #[derive(Debug, Deserialize)]
    struct Outer {
        #[serde(flatten)]
        #[allow(dead_code, reason = "it is never filled")]
        inner: One<String>,
    }
    assert_eq!(refused::<Outer>(&[("x", "1")]).code(), ErrorCode::Internal);
    assert_eq!(refused::<String>(&[]).code(), ErrorCode::Internal);
}

#[test]
fn a_check_of_the_whole_struct_is_told_with_the_place_of_the_component() {
    #[derive(Debug, Deserialize)]
    #[serde(try_from = "One<u8>")]
    struct Even;
    impl TryFrom<One<u8>> for Even {
        type Error = &'static str;
        fn try_from(one: One<u8>) -> Result<Self, Self::Error> {
            if one.x.is_multiple_of(2) { Ok(Self) } else { Err("x must be even") }
        }
    }
    let given = component(&[("x", "3")]);
    let error = decode::<Even>(&given).expect_err("odd");
    assert_eq!((error.message(), error.place_in_file()), ("x must be even", Some(&given.place)));
}
