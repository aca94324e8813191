//! What the document of a Kafka component can say.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::settings::{ByteSize, CommaList, Flag, Millis, Seconds, Secret, StrictFlag};

/// The words of `authType`.
const AUTH_TYPES: [&str; 7] =
    ["none", "password", "mtls", "certificate", "oidc", "oidc_private_key_jwt", "awsiam"];
/// The words of `saslMechanism`.
const SASL_MECHANISMS: [&str; 6] =
    ["PLAINTEXT", "PLAIN", "SHA-256", "SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// Settings of `bindings.kafka/v1`. The `x-…` beside a setting are what serde does not tell; see
/// `core/src/settings/describe.rs`. Names match without regard to case.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::components::kafka) struct Raw {
    /// Seed brokers, `host:port`, separated by commas.
    pub(in crate::components::kafka) brokers: CommaList,
    /// Topics to receive from, separated by commas.
    #[schemars(extend("x-way" = "input", "x-needed" = true))]
    pub(in crate::components::kafka) topics: Option<CommaList>,
    /// The topic to send to.
    #[schemars(extend("x-way" = "output", "x-needed" = true))]
    pub(in crate::components::kafka) publish_topic: Option<String>,
    /// The consumer group; needed to receive.
    #[serde(alias = "consumerID")]
    #[schemars(extend("x-aliases" = ["consumerID"], "x-way" = "input", "x-needed" = true))]
    pub(in crate::components::kafka) consumer_group: Option<String>,
    /// How the client calls itself. Default `bindwright`.
    #[serde(rename = "clientID")]
    #[schemars(extend("x-default" = "bindwright"))]
    pub(in crate::components::kafka) client_id: Option<String>,
    /// Where a group starts that has no committed offset: `newest` (default) or `oldest`.
    #[serde(default)]
    #[schemars(extend("x-default" = "newest", "x-way" = "input"))]
    pub(in crate::components::kafka) initial_offset: InitialOffset,
    /// The protocol version of old clients; ignored, because versions are negotiated with the broker.
    #[serde(rename = "version")]
    #[schemars(extend("x-ignored" = true))]
    pub(in crate::components::kafka) _version: Option<String>,
    /// Largest record that is sent, in bytes. Default 1 MiB.
    #[schemars(extend("x-default" = "1Mi"))]
    pub(in crate::components::kafka) max_message_bytes: Option<ByteSize>,
    /// How the component proves who it is: `none` (default), `password`, `mtls`, `certificate`, `oidc`,
    /// `oidc_private_key_jwt` or `awsiam`.
    #[schemars(extend("x-default" = "none", "x-words" = AUTH_TYPES))]
    pub(in crate::components::kafka) auth_type: Option<String>,
    /// Where `authType` is missing: `false` is `none`, `true` is `password` with a `saslPassword` and `mtls` without.
    #[schemars(extend("x-replacement" = "authType"))]
    pub(in crate::components::kafka) auth_required: Option<StrictFlag>,
    /// Deliver failed events again with the `backOff…` settings; without it with a pause that grows from 100 ms
    /// to 30 s. Failed events are never skipped.
    #[serde(default)]
    #[schemars(extend("x-default" = "false", "x-way" = "input"))]
    pub(in crate::components::kafka) consume_retry_enabled: Flag,
    /// Pause before a failed connection is tried again. Default `100ms`.
    #[schemars(extend("x-default" = "100ms", "x-way" = "input"))]
    pub(in crate::components::kafka) consume_retry_interval: Option<Millis>,
    /// `constant` (default) or `exponential`.
    #[serde(default)]
    #[schemars(extend("x-default" = "constant", "x-way" = "input"))]
    pub(in crate::components::kafka) back_off_policy: BackOffPolicy,
    /// The constant pause. Default `5s`.
    #[schemars(extend("x-default" = "5s", "x-way" = "input"))]
    pub(in crate::components::kafka) back_off_duration: Option<Millis>,
    /// The first exponential pause. Default `500ms`.
    #[schemars(extend("x-default" = "500ms", "x-way" = "input"))]
    pub(in crate::components::kafka) back_off_initial_interval: Option<Millis>,
    /// The part drawn by chance, 0 to 1. Default 0.5.
    #[schemars(extend("x-default" = "0.5", "x-way" = "input"))]
    pub(in crate::components::kafka) back_off_randomization_factor: Option<f64>,
    /// What the pause grows by. Default 1.5.
    #[schemars(extend("x-default" = "1.5", "x-way" = "input"))]
    pub(in crate::components::kafka) back_off_multiplier: Option<f64>,
    /// The longest pause. Default `60s`.
    #[schemars(extend("x-default" = "60s", "x-way" = "input"))]
    pub(in crate::components::kafka) back_off_max_interval: Option<Millis>,
    /// Accepted; the number of deliveries is what limits retries.
    #[serde(rename = "backOffMaxElapsedTime")]
    #[schemars(extend("x-ignored" = true, "x-way" = "input"))]
    pub(in crate::components::kafka) _back_off_max_elapsed_time: Option<Millis>,
    /// Deliveries after the first one; -1 (default) for ever. After the last one the event holds its partition.
    #[schemars(extend("x-default" = "-1", "x-way" = "input"))]
    pub(in crate::components::kafka) back_off_max_retries: Option<i64>,
    /// How often a member tells its group that it is there. Default `3s`.
    #[schemars(extend("x-default" = "3s", "x-way" = "input"))]
    pub(in crate::components::kafka) heartbeat_interval: Option<Seconds>,
    /// How long the group waits for a member that is gone. Default `10s`.
    #[schemars(extend("x-default" = "10s", "x-way" = "input"))]
    pub(in crate::components::kafka) session_timeout: Option<Seconds>,
    /// Least bytes per fetch. Default 1.
    #[schemars(extend("x-default" = "1", "x-way" = "input"))]
    pub(in crate::components::kafka) consumer_fetch_min: Option<u32>,
    /// Bytes per partition and fetch. Default 1 MiB.
    #[schemars(extend("x-default" = "1048576", "x-way" = "input"))]
    pub(in crate::components::kafka) consumer_fetch_default: Option<u32>,
    /// Accepted; `maxUncommitted` bounds what is read ahead.
    #[serde(rename = "channelBufferSize")]
    #[schemars(extend("x-ignored" = true, "x-way" = "input"))]
    pub(in crate::components::kafka) _channel_buffer_size: Option<u32>,
    /// `range` (default), `roundrobin`, or `sticky` (cooperative; cannot share a group with eager `sticky`).
    #[serde(default)]
    #[schemars(extend("x-default" = "range", "x-way" = "input"))]
    pub(in crate::components::kafka) consumer_group_rebalance_strategy: RebalanceStrategy,
    /// How often topics are asked for unasked. Default `8m`.
    #[schemars(extend("x-default" = "8m"))]
    pub(in crate::components::kafka) client_connection_topic_metadata_refresh_interval: Option<Seconds>,
    /// TCP keep-alive: on when positive.
    pub(in crate::components::kafka) client_connection_keep_alive_interval: Option<Seconds>,
    /// How long connecting may take. Default `30s`.
    #[schemars(extend("x-default" = "30s"))]
    pub(in crate::components::kafka) dial_timeout: Option<Seconds>,
    /// How long an answer may take; the longest of the three that are given counts. Default `60s`.
    #[schemars(extend("x-default" = "60s"))]
    pub(in crate::components::kafka) read_timeout: Option<Seconds>,
    /// See `readTimeout`.
    pub(in crate::components::kafka) write_timeout: Option<Seconds>,
    /// See `readTimeout`.
    pub(in crate::components::kafka) metadata_timeout: Option<Seconds>,
    /// `none` (default), `gzip`, `snappy`, `lz4`, `zstd`.
    #[serde(default)]
    #[schemars(extend("x-default" = "none", "x-way" = "output"))]
    pub(in crate::components::kafka) compression: Compression,
    /// `all` (default), `local`, `none`.
    #[serde(default)]
    #[schemars(extend("x-default" = "all", "x-way" = "output"))]
    pub(in crate::components::kafka) producer_required_acks: RequiredAcks,
    /// How often a record is sent again; without it as often as its time allows.
    #[schemars(extend("x-way" = "output"))]
    pub(in crate::components::kafka) producer_retry_max: Option<u32>,
    /// Query-escape event metadata that comes from keys and headers.
    #[serde(default)]
    #[schemars(extend("x-default" = "false", "x-way" = "input"))]
    pub(in crate::components::kafka) escape_headers: Flag,
    /// Names that are neither sent as headers nor received as metadata.
    pub(in crate::components::kafka) exclude_header_meta_regex: Option<String>,
    /// Ours: a partition that delivers nothing for so long, although the broker has more and there is room, is read
    /// anew with another consumer, from the committed offsets. Default `60s`, because the client library itself mends
    /// a lost answer within that; `0` switches it off. Found after one to two of these times.
    #[schemars(extend("x-ours" = true, "x-default" = "60s", "x-way" = "input"))]
    pub(in crate::components::kafka) stall_timeout: Option<Seconds>,
    /// Ours: no record is written twice and none overtakes another when the client has to send again. Default true
    /// where `producerRequiredAcks` is `all`.
    #[schemars(extend("x-ours" = true, "x-way" = "output"))]
    pub(in crate::components::kafka) producer_idempotence: Option<Flag>,
    /// Ours: most connections per broker that sending may open. Default 8.
    #[schemars(extend("x-ours" = true, "x-default" = "8", "x-way" = "output"))]
    pub(in crate::components::kafka) producer_connections: Option<u32>,
    /// Ours: most records that wait for the broker's confirmation. Default 100,000.
    #[schemars(extend("x-ours" = true, "x-default" = "100000", "x-way" = "output"))]
    pub(in crate::components::kafka) max_queued_records: Option<u32>,
    /// Ours: most bytes that wait for the broker's confirmation. Default 64 MiB.
    #[schemars(extend("x-ours" = true, "x-default" = "64Mi", "x-way" = "output"))]
    pub(in crate::components::kafka) max_queued_bytes: Option<ByteSize>,

    /// The user of `authType: password`.
    pub(in crate::components::kafka) sasl_username: Option<Secret>,
    /// The password of `authType: password`.
    pub(in crate::components::kafka) sasl_password: Option<Secret>,
    /// `PLAINTEXT` (default), `SHA-256` or `SHA-512`.
    #[schemars(extend("x-default" = "PLAINTEXT", "x-words" = SASL_MECHANISMS))]
    pub(in crate::components::kafka) sasl_mechanism: Option<String>,
    /// Certificates of the authorities that are trusted, PEM. Default: what this machine trusts. Also for token
    /// servers.
    pub(in crate::components::kafka) ca_cert: Option<Secret>,
    /// The component's own certificate, PEM, its chain behind it. Goes with `clientKey`.
    pub(in crate::components::kafka) client_cert: Option<Secret>,
    /// The key of `clientCert`, PEM, without a passphrase.
    pub(in crate::components::kafka) client_key: Option<Secret>,
    /// No TLS where it would be used: with every `authType` but `none`. Default false.
    #[serde(default)]
    #[schemars(extend("x-default" = "false"))]
    pub(in crate::components::kafka) disable_tls: Flag,
    /// Take any certificate of a broker, also a forged one. Default false.
    #[serde(default)]
    #[schemars(extend("x-default" = "false"))]
    pub(in crate::components::kafka) skip_verify: Flag,
    /// Where tokens are fetched, an `https` address.
    pub(in crate::components::kafka) oidc_token_endpoint: Option<String>,
    /// Who the component is for the token server.
    #[serde(rename = "oidcClientID")]
    pub(in crate::components::kafka) oidc_client_id: Option<Secret>,
    /// The secret of `authType: oidc`.
    pub(in crate::components::kafka) oidc_client_secret: Option<Secret>,
    /// Separated by commas. Default `openid`.
    #[schemars(extend("x-default" = "openid"))]
    pub(in crate::components::kafka) oidc_scopes: Option<CommaList>,
    /// A JSON object of texts that go to the broker with the token.
    pub(in crate::components::kafka) oidc_extensions: Option<String>,
    /// The certificate of `oidcClientAssertionKey`, PEM: the assertion names it, for servers that look for it.
    pub(in crate::components::kafka) oidc_client_assertion_cert: Option<Secret>,
    /// The RSA key of `oidc_private_key_jwt`, PEM: signs the assertion that stands for a client secret.
    pub(in crate::components::kafka) oidc_client_assertion_key: Option<Secret>,
    /// Sent with the request for a token.
    pub(in crate::components::kafka) oidc_resource: Option<String>,
    /// The audience: with `oidc_private_key_jwt` of the assertion (default: `oidcTokenEndpoint`), with `oidc` sent with
    /// the request for a token (default: not sent).
    pub(in crate::components::kafka) oidc_audience: Option<String>,
    /// The `kid` in the assertion's header.
    pub(in crate::components::kafka) oidc_kid: Option<String>,
    /// The region of `authType: awsiam`.
    #[serde(alias = "awsRegion")]
    #[schemars(extend("x-aliases" = ["awsRegion"]))]
    pub(in crate::components::kafka) region: Option<String>,
    /// With `secretKey`: fixed credentials. Default: what the environment, the profile or the machine offers.
    #[serde(alias = "awsAccessKey")]
    #[schemars(extend("x-aliases" = ["awsAccessKey"]))]
    pub(in crate::components::kafka) access_key: Option<Secret>,
    /// The key of `accessKey`.
    #[serde(alias = "awsSecretKey")]
    #[schemars(extend("x-aliases" = ["awsSecretKey"]))]
    pub(in crate::components::kafka) secret_key: Option<Secret>,
    /// The session of `accessKey`.
    #[serde(alias = "awsSessionToken")]
    #[schemars(extend("x-aliases" = ["awsSessionToken"]))]
    pub(in crate::components::kafka) session_token: Option<Secret>,
    /// A role that is taken on with these credentials.
    #[serde(alias = "awsIamRoleArn")]
    #[schemars(extend("x-aliases" = ["awsIamRoleArn"]))]
    pub(in crate::components::kafka) assume_role_arn: Option<String>,
    /// The name of that session. Default `DaprDefaultSession`.
    #[serde(alias = "awsStsSessionName")]
    #[schemars(extend("x-aliases" = ["awsStsSessionName"], "x-default" = "DaprDefaultSession"))]
    pub(in crate::components::kafka) session_name: Option<String>,
    /// IAM Roles Anywhere, which this version does not know: an error with `awsiam`.
    pub(in crate::components::kafka) trust_anchor_arn: Option<String>,
    /// As `trustAnchorArn`.
    pub(in crate::components::kafka) trust_profile_arn: Option<String>,
    /// A schema registry in Confluent's style: one or more addresses, separated by commas. Not shown, because an address
    /// can hold a password.
    #[serde(rename = "schemaRegistryURL")]
    pub(in crate::components::kafka) schema_registry_url: Option<Secret>,
    /// The user of the schema registry.
    #[serde(rename = "schemaRegistryAPIKey")]
    pub(in crate::components::kafka) schema_registry_api_key: Option<Secret>,
    /// The password of the schema registry.
    #[serde(rename = "schemaRegistryAPISecret")]
    pub(in crate::components::kafka) schema_registry_api_secret: Option<Secret>,
    /// Keep a subject's latest schema; `false` asks for it with every call. Default true.
    #[schemars(extend("x-default" = "true"))]
    pub(in crate::components::kafka) schema_caching_enabled: Option<Flag>,
    /// For how long. Default `5m`.
    #[serde(rename = "schemaLatestVersionCacheTTL")]
    #[schemars(extend("x-default" = "5m"))]
    pub(in crate::components::kafka) schema_latest_version_cache_ttl: Option<Seconds>,
    /// Unions as Avro's own JSON has them, `{"string": "a"}`, instead of plain values. Default false.
    #[serde(default, rename = "useAvroJSON")]
    #[schemars(extend("x-default" = "false"))]
    pub(in crate::components::kafka) use_avro_json: Flag,
    /// Ours: `none` (default) or `Avro`: how values are encoded where a call does not say, and decoded on arrival.
    #[schemars(extend("x-ours" = true, "x-default" = "none", "x-words" = ["none", "Avro"]))]
    pub(in crate::components::kafka) value_schema_type: Option<String>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::components::kafka) enum InitialOffset {
    #[default]
    Newest,
    Oldest,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::components::kafka) enum BackOffPolicy {
    #[default]
    Constant,
    Exponential,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::components::kafka) enum RebalanceStrategy {
    #[default]
    Range,
    Sticky,
    RoundRobin,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::components::kafka) enum Compression {
    #[default]
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::components::kafka) enum RequiredAcks {
    #[default]
    All,
    Local,
    None,
}
