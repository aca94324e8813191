//! What stands in front of a body: a zero byte, and the number of its schema in the registry.

/// The first byte of every record that is written with a registry.
const MAGIC: u8 = 0;
/// That byte and the number.
pub(super) const PREFIX: usize = 5;

pub(super) fn prefix(id: u32) -> [u8; PREFIX] {
    let [a, b, c, d] = id.to_be_bytes();
    [MAGIC, a, b, c, d]
}

/// The number of the schema and the body.
///
/// # Errors
/// When the record was not written with a registry.
pub(super) fn split(record: &[u8]) -> Result<(u32, &[u8]), String> {
    let Some((prefix, body)) = record.split_first_chunk::<PREFIX>() else {
        return Err(format!("expected a zero byte and the number of a schema, got {} bytes", record.len()));
    };
    let [MAGIC, a, b, c, d] = *prefix else {
        return Err(format!("expected a zero byte and the number of a schema, got the byte {}", prefix[0]));
    };
    Ok((u32::from_be_bytes([a, b, c, d]), body))
}
