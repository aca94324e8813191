//! Certificates, made on the spot.

use std::time::{Duration, SystemTime};

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509Name, X509NameBuilder};

/// When a certificate is valid.
#[derive(Clone, Copy)]
pub enum Valid {
    Now,
    Formerly,
    Later,
}

pub struct Authority {
    certificate: X509,
    key: PKey<Private>,
}

/// A certificate and its key, PEM both.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let key = key();
        let name = named(name);
        let mut builder = begun(&name, &key, Valid::Now);
        builder.set_issuer_name(&name).expect("set");
        let constraints = BasicConstraints::new().critical().ca().build().expect("built");
        builder.append_extension(constraints).expect("set");
        builder.sign(&key, MessageDigest::sha256()).expect("signed");
        Self { certificate: builder.build(), key }
    }

    pub fn pem(&self) -> String {
        pem(&self.certificate)
    }

    /// A certificate for these host names and addresses.
    pub fn issue(&self, name: &str, hosts: &[&str], valid: Valid) -> Pair {
        let key = key();
        let mut builder = begun(&named(name), &key, valid);
        builder.set_issuer_name(self.certificate.subject_name()).expect("set");
        if !hosts.is_empty() {
            let mut names = SubjectAlternativeName::new();
            for host in hosts {
                if host.parse::<std::net::IpAddr>().is_ok() {
                    names.ip(host);
                } else {
                    names.dns(host);
                }
            }
            let context = builder.x509v3_context(Some(&self.certificate), None);
            let names = names.build(&context).expect("built");
            builder.append_extension(names).expect("set");
        }
        builder.sign(&self.key, MessageDigest::sha256()).expect("signed");
        let key = String::from_utf8(key.private_key_to_pem_pkcs8().expect("written")).expect("text");
        Pair { certificate: pem(&builder.build()), key }
    }
}

fn begun(name: &X509Name, key: &PKey<Private>, valid: Valid) -> X509Builder {
    let mut builder = X509::builder().expect("a builder");
    builder.set_version(2).expect("set");
    let mut serial = BigNum::new().expect("a number");
    serial.rand(127, MsbOption::MAYBE_ZERO, false).expect("random");
    builder.set_serial_number(&serial.to_asn1_integer().expect("a number")).expect("set");
    builder.set_subject_name(name).expect("set");
    builder.set_pubkey(key).expect("set");
    let (from, until) = match valid {
        Valid::Now => (-1, 30),
        Valid::Formerly => (-30, -1),
        Valid::Later => (1, 30),
    };
    builder.set_not_before(&in_days(from)).expect("set");
    builder.set_not_after(&in_days(until)).expect("set");
    builder
}

fn in_days(days: i64) -> Asn1Time {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Asn1Time::from_unix(now.as_secs().cast_signed() + days * 24 * 60 * 60).expect("a time")
}

fn key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("a curve");
    PKey::from_ec_key(EcKey::generate(&group).expect("a key")).expect("a key")
}

fn named(name: &str) -> X509Name {
    let mut builder = X509NameBuilder::new().expect("a builder");
    builder.append_entry_by_nid(Nid::COMMONNAME, name).expect("added");
    builder.build()
}

fn pem(certificate: &X509) -> String {
    String::from_utf8(certificate.to_pem().expect("written")).expect("text")
}
