//! Reads the files of cases, and the data that steps name.

use bindwright::Body;
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Value, json};

/// The cases of a file in `tests/spec`.
pub fn cases(file: &str) -> Vec<Value> {
    let path = format!("{}/../tests/spec/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("read");
    let documents = Yaml::load_from_str(&text).expect("YAML");
    plain(&documents[0]).as_array().expect("a list of cases").clone()
}

/// The document in a form that is easier to walk through.
fn plain(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => json!(value),
        Yaml::Value(Scalar::Integer(value)) => json!(value),
        Yaml::Value(Scalar::FloatingPoint(value)) => json!(value.into_inner()),
        Yaml::Value(Scalar::String(value)) => json!(value),
        Yaml::Sequence(items) => items.iter().map(plain).collect(),
        Yaml::Mapping(entries) => {
            let name = |key: &Yaml<'_>| key.as_str().expect("names are text").to_owned();
            entries
                .iter()
                .map(|(key, value)| (name(key), plain(value)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        }
        other => panic!("not used in cases: {other:?}"),
    }
}

/// The data of a step, to be sent or expected.
pub fn data(data: &Value) -> Body {
    if data.is_null() {
        return Body::empty();
    }
    if data == "none" {
        return Body::None;
    }
    let (kind, value) = data.as_object().and_then(|data| data.iter().next()).expect("data");
    match (kind.as_str(), value) {
        ("text", Value::String(text)) => Body::from(text.clone()),
        ("base64", Value::String(text)) => Body::from(from_base64(text)),
        ("json", value) => Body::from(value.to_string()),
        ("repeat", value) => {
            let times = value["times"].as_u64().expect("a number");
            Body::from(value["text"].as_str().expect("text").repeat(usize::try_from(times).expect("few")))
        }
        _ => panic!("not data: {data}"),
    }
}

fn from_base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for digit in text.bytes().filter(|digit| *digit != b'=') {
        let value = DIGITS.iter().position(|known| *known == digit).expect("base64");
        bits = bits << 6 | u32::try_from(value).expect("less than 64");
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).expect("one byte"));
        }
    }
    bytes
}
