//! Tests of what `Resiliency` documents say, and of which of it concerns a component.

use std::time::{Duration, Instant};

use crate::error::ErrorCode;
use crate::manifest::{Manifest, Scope};
use crate::policy::{Backoff, BreakerState, Inbound, Outbound};

const COMPONENT: &str = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: orders}\nspec: {type: bindings.x}\n---\n";
const HEAD: &str = "apiVersion: dapr.io/v1alpha1\nkind: Resiliency\nmetadata: {name: r}\n";

fn read_as(app_id: Option<&str>, text: &str) -> Manifest {
    let scope = Scope { app_id, namespace: None };
    Manifest::parse_in(scope, text.as_bytes(), "a.yaml").expect("no duplicates")
}

fn read(text: &str) -> Manifest {
    read_as(None, text)
}

/// A component, and a document with this text as its `spec`, on line 10.
fn with_spec(spec: &str) -> Manifest {
    read(&format!("{COMPONENT}{HEAD}spec:\n{spec}"))
}

/// A document with these policies on line 11, all of them named by the calls of `orders`.
fn with_policies(policies: &str) -> Manifest {
    with_spec(&format!(
        "  policies:\n    {policies}\n  targets: {{components: {{orders: {{outbound: {{timeout: p, retry: p, circuitBreaker: p}}}}}}}}\n"
    ))
}

fn outbound(manifest: &Manifest) -> Outbound {
    manifest.policies.outbound("orders").expect("known names").expect("a policy")
}

fn inbound(manifest: &Manifest) -> Inbound {
    manifest.policies.inbound("orders").expect("known names").expect("a policy")
}

/// The faults as `line:column message`.
fn faults(manifest: &Manifest) -> Vec<String> {
    let show = |fault: &crate::error::Error| {
        let place = fault.place_in_file().expect("a place");
        assert_eq!(fault.code(), ErrorCode::InvalidManifest);
        format!("{}:{} {}", place.line, place.column, fault.message())
    };
    manifest.faults.iter().map(show).collect()
}

/// The pauses of a retry policy with these fields.
fn backoff(fields: &str) -> Backoff {
    let text = format!(
        "  policies:\n    retries: {{p: {{{fields}}}}}\n  targets: {{components: {{orders: {{outbound: {{retry: p}}}}}}}}\n"
    );
    let manifest = with_spec(&text);
    assert_eq!(faults(&manifest), [""; 0]);
    outbound(&manifest).retry.expect("a retry policy").backoff
}

/// A breaker with these fields.
fn breaker(fields: &str) -> std::sync::Arc<crate::policy::Breaker> {
    let manifest = with_spec(&format!(
        "  policies: {{circuitBreakers: {{p: {{{fields}}}}}}}\n  targets: {{components: {{orders: {{outbound: {{circuitBreaker: p}}}}}}}}\n"
    ));
    assert_eq!(faults(&manifest), [""; 0]);
    outbound(&manifest).breaker.expect("a breaker")
}

#[test]
fn the_example_of_the_format_is_read() {
    let manifest = with_spec(
        "  policies:\n    timeouts: {general: 5s}\n    retries:\n      r: {policy: constant, duration: 2s, maxRetries: 3, \
         matching: {httpStatusCodes: '429,500-599', gRPCStatusCodes: '8-10,14'}, repeatUnknown: true}\n\
         \x20   circuitBreakers:\n      cb: {maxRequests: 1, interval: 0s, timeout: 30s, trip: consecutiveFailures > 5}\n\
         \x20 targets:\n    apps: {x: {anything: 1}}\n    actors: {}\n    components:\n      orders:\n\
         \x20       outbound: {timeout: general, retry: r, circuitBreaker: cb}\n        inbound: {retry: r}\n",
    );
    assert_eq!(faults(&manifest), [""; 0]);
    let policy = outbound(&manifest);
    assert_eq!(policy.timeout, Some(Duration::from_secs(5)));
    let retry = policy.retry.expect("a retry policy");
    assert_eq!((retry.backoff.initial, retry.backoff.retries), (Duration::from_secs(2), Some(3)));
    assert!(retry.repeat_unknown);
    assert_eq!(policy.breaker.expect("a breaker").state(Instant::now()), BreakerState::Closed);
    let events = inbound(&manifest);
    assert_eq!(events.retry, Some(retry));
    assert!(events.breaker.is_none() && events.timeout.is_none());
}

#[test]
fn a_constant_retry_waits_five_seconds_for_ever_by_default() {
    let expected = Backoff {
        initial: Duration::from_secs(5),
        multiplier: 1.0,
        maximum: Duration::from_secs(5),
        randomization: 0.0,
        retries: None,
    };
    assert_eq!(backoff(""), expected);
    assert_eq!(backoff("policy: Constant, maxRetries: -1, maxInterval: 1s"), expected);
    assert_eq!(backoff("duration: 250").initial, Duration::from_millis(250));
    assert_eq!(backoff("maxRetries: 0").pause(1, 0.5), None);
    assert_eq!(backoff("maxRetries: '2'").retries, Some(2));
}

#[test]
fn an_exponential_retry_begins_with_half_a_second_and_ends_never() {
    let policy = backoff("policy: exponential, duration: 9s");
    let pauses: Vec<_> = (1..=3).map(|attempt| policy.pause(attempt, 0.5).expect("for ever")).collect();
    assert_eq!(pauses, [500, 750, 1125].map(Duration::from_millis));
    assert_eq!(policy.pause(1, 0.0), Some(Duration::from_millis(250)));
    assert_eq!(policy.pause(1, 1.0), Some(Duration::from_millis(750)));
    assert_eq!(policy.pause(100_000, 0.5), Some(Duration::from_mins(1)));
    assert_eq!(backoff("policy: exponential, maxInterval: 1s").pause(100, 0.5), Some(Duration::from_secs(1)));
}

#[test]
fn a_breaker_opens_after_six_failures_for_a_minute_by_default() {
    for fields in ["", "timeout: 0s, trip: ''"] {
        let (breaker, now) = (breaker(fields), Instant::now());
        for _ in 0..6 {
            assert_eq!(breaker.state(now), BreakerState::Closed);
            breaker.admit(now).expect("closed").failure(now);
        }
        let until = now + Duration::from_mins(1);
        assert_eq!(breaker.state(now), BreakerState::Open { until });
        let _trial = breaker.admit(until).expect("half-open");
        assert!(breaker.admit(until).is_err());
    }
}

#[test]
fn every_field_of_a_breaker_counts() {
    let breaker = breaker("maxRequests: 2, interval: 1000, timeout: 2s, trip: totalFailures >= 2");
    let now = Instant::now();
    breaker.admit(now).expect("closed").failure(now);
    let later = now + Duration::from_secs(1);
    breaker.admit(later).expect("closed").failure(later);
    assert_eq!(breaker.state(later), BreakerState::Closed, "cleared after the interval");
    breaker.admit(later).expect("closed").failure(later);
    let until = later + Duration::from_secs(2);
    assert_eq!(breaker.state(later), BreakerState::Open { until });
    let _trials = (breaker.admit(until).expect("half-open"), breaker.admit(until).expect("half-open"));
    assert!(breaker.admit(until).is_err());
}

#[test]
fn a_timeout_is_a_duration_or_milliseconds_and_zero_is_none() {
    for (text, expected) in [("1m30s", 90_000), ("250", 250), ("'250'", 250)] {
        let manifest = with_spec(&format!("  policies: {{timeouts: {{DefaultTimeoutPolicy: {text}}}}}\n"));
        assert_eq!(outbound(&manifest).timeout, Some(Duration::from_millis(expected)), "{text}");
    }
    let manifest = with_spec("  policies: {timeouts: {DefaultTimeoutPolicy: 0}}\n");
    assert!(manifest.policies.outbound("orders").expect("no names").is_none());
}

#[test]
fn a_bad_value_leaves_out_the_document_and_tells_its_place() {
    for (policies, expected) in [
        ("timeouts: {p: soon}", "11:19 spec.policies.timeouts.p: expected a duration"),
        ("timeouts: {p: }", "11:17 spec.policies.timeouts.p: expected a duration"),
        ("timeouts: {p: -5s}", "11:19 spec.policies.timeouts.p: expected a duration that is not negative"),
        ("timeouts: {p: [1]}", "11:19 spec.policies.timeouts.p: expected a scalar"),
        ("timeouts: 5s", "11:15 spec.policies.timeouts: expected a mapping"),
        ("retries: {p: 5}", "11:18 spec.policies.retries.p: expected a mapping"),
        ("retries: {p: {duration: 1x}}", "11:29 spec.policies.retries.p.duration: expected a duration"),
        ("retries: {p: {policy: linear}}", "11:27 spec.policies.retries.p.policy: expected constant or"),
        ("retries: {p: {maxRetries: 1.5}}", "11:31 spec.policies.retries.p.maxRetries: expected a whole"),
        ("retries: {p: {repeatUnknown: 7}}", "11:34 spec.policies.retries.p.repeatUnknown: expected true"),
        (
            "retries: {p: {matching: {httpStatusCodes: '4xx'}}}",
            "11:47 spec.policies.retries.p.matching.httpStatusCodes: expected codes and ranges from 100 to 599",
        ),
        (
            "retries: {p: {matching: {gRPCStatusCodes: '17'}}}",
            "11:47 spec.policies.retries.p.matching.gRPCStatusCodes: expected codes and ranges from 0 to 16",
        ),
        (
            "circuitBreakers: {p: {maxRequests: -1}}",
            "11:40 spec.policies.circuitBreakers.p.maxRequests: expected a whole number from 0",
        ),
        (
            "circuitBreakers: {p: {trip: consecutiveFailures >}}",
            "11:33 spec.policies.circuitBreakers.p.trip: expected a CEL expression, got",
        ),
        ("circuitBreakers: {p: {interval: {}}}", "11:37 spec.policies.circuitBreakers.p.interval"),
    ] {
        let manifest = with_policies(policies);
        assert_eq!(manifest.faults.len(), 1, "{:?}", manifest.faults);
        let fault = &faults(&manifest)[0];
        assert!(fault.starts_with(expected), "{policies}: {fault}");
        assert!(manifest.policies.outbound("orders").expect("no target").is_none(), "{policies}");
    }
}

#[test]
fn every_fault_of_a_document_is_told() {
    let manifest = with_policies("{timeouts: {p: x, q: y}, retries: {p: {duration: z}}}");
    assert_eq!(manifest.faults.len(), 3);
}

#[test]
fn an_unknown_field_is_only_warned_about_with_the_nearest() {
    let manifest = with_spec(
        "  policies: {retries: {DefaultRetryPolicy: {maxRetrys: 3, nothingLikeIt: 1}}}\n  target: {}\n",
    );
    assert_eq!(
        faults(&manifest),
        [
            "11:3 spec.target: no field of a Resiliency document; did you mean \"targets\"",
            "10:45 spec.policies.retries.DefaultRetryPolicy.maxRetrys: no field of a Resiliency document; \
             did you mean \"maxRetries\"",
            "10:59 spec.policies.retries.DefaultRetryPolicy.nothingLikeIt: no field of a Resiliency document",
        ]
    );
    assert!(outbound(&manifest).retry.is_some());
}

#[test]
fn an_expression_that_never_opens_is_warned_about() {
    let manifest = with_spec(
        "  policies: {circuitBreakers: {DefaultCircuitBreakerPolicy: {trip: consecutiveFailure > 5}}}\n",
    );
    let fault = &faults(&manifest)[0];
    assert!(fault.contains(".trip: \"consecutiveFailure\" is none of requests,"), "{fault}");
    assert!(outbound(&manifest).breaker.is_some());
}

#[test]
fn an_unknown_policy_is_an_error_of_its_direction_only() {
    let manifest = with_spec(
        "  policies: {retries: {important: {}}}\n  targets:\n    components:\n      orders:\n\
         \x20       outbound: {timeout: t, retry: importnat, circuitBreaker: c}\n        inbound: {retry: important}\n",
    );
    let expected = [
        "14:29 spec.targets.components.orders.outbound.timeout: no timeout policy is called \"t\"",
        "14:39 spec.targets.components.orders.outbound.retry: no retry policy is called \"importnat\"; \
         did you mean \"important\"",
        "14:66 spec.targets.components.orders.outbound.circuitBreaker: no circuit breaker policy is called \"c\"",
    ];
    assert_eq!(faults(&manifest), expected);
    let error = manifest.policies.outbound("orders").expect_err("unknown names");
    assert_eq!((error.code(), error.component_name()), (ErrorCode::InvalidManifest, Some("orders")));
    assert_eq!(error.place_in_file().map(|place| (place.line, place.column)), Some((14, 29)));
    assert!(inbound(&manifest).retry.is_some());
}

#[test]
fn a_target_that_is_no_component_is_warned_about() {
    let manifest = with_spec("  targets:\n    components:\n      order: {outbound: {}}\n");
    assert_eq!(
        faults(&manifest),
        ["12:7 spec.targets.components: no component is called \"order\"; did you mean \"orders\""]
    );
}

#[test]
fn a_target_that_other_apps_see_is_no_fault() {
    let hidden = COMPONENT.replace("spec:", "scopes: [other]\nspec:");
    let text = format!("{hidden}{HEAD}spec: {{targets: {{components: {{orders: {{outbound: {{}}}}}}}}}}\n");
    assert_eq!(faults(&read_as(Some("app"), &text)), [""; 0]);
}

#[test]
fn scopes_say_whom_a_document_is_meant_for() {
    let text = format!(
        "{COMPONENT}{HEAD}scopes: [app]\nspec: {{policies: {{timeouts: {{DefaultTimeoutPolicy: 1s}}}}}}\n"
    );
    assert!(read_as(Some("app"), &text).policies.outbound("orders").expect("no names").is_some());
    assert!(read_as(Some("other"), &text).policies.outbound("orders").expect("no names").is_none());
    let broken = text.replace("1s", "soon");
    assert_eq!(read_as(Some("app"), &broken).faults.len(), 1);
    assert_eq!(faults(&read_as(Some("other"), &broken)), [""; 0]);
}

#[test]
fn the_namespace_says_whom_a_document_is_meant_for() {
    let text = format!("{COMPONENT}{HEAD}spec: {{policies: {{timeouts: {{DefaultTimeoutPolicy: 1s}}}}}}\n")
        .replace("{name: r}", "{name: r, namespace: shop}");
    let outbound = |namespace: &str| {
        let scope = Scope { app_id: None, namespace: Some(namespace.to_owned()) };
        let manifest = Manifest::parse_in(scope, text.as_bytes(), "a.yaml").expect("no duplicates");
        manifest.policies.outbound("orders").expect("no names")
    };
    assert!(outbound("shop").is_some() && outbound("other").is_none());
}

#[test]
fn the_most_special_default_counts_for_each_kind_on_its_own() {
    let names = |way: &str| {
        [
            "DefaultTimeoutPolicy".to_owned(),
            "DefaultComponentTimeoutPolicy".to_owned(),
            format!("DefaultComponent{way}TimeoutPolicy"),
            format!("DefaultBindingComponent{way}TimeoutPolicy"),
        ]
    };
    for count in 1..=4 {
        let list: Vec<_> = names("Outbound")
            .iter()
            .zip(1..=count)
            .map(|(name, seconds)| format!("{name}: {seconds}s"))
            .collect();
        let manifest = with_spec(&format!(
            "  policies: {{timeouts: {{{}}}, retries: {{DefaultRetryPolicy: {{}}}}, \
             circuitBreakers: {{DefaultCircuitBreakerPolicy: {{}}}}}}\n",
            list.join(", ")
        ));
        let policy = outbound(&manifest);
        assert_eq!(policy.timeout, Some(Duration::from_secs(count)));
        assert!(policy.retry.is_some() && policy.breaker.is_some());
        let general = u64::min(count, 2);
        assert_eq!(inbound(&manifest).timeout, Some(Duration::from_secs(general)), "the way matters");
    }
    let list = names("Inbound").join(": 1s, ");
    let manifest = with_spec(&format!("  policies: {{timeouts: {{{list}: 4s}}}}\n"));
    assert_eq!(inbound(&manifest).timeout, Some(Duration::from_secs(4)));
}

#[test]
fn an_entry_for_one_direction_leaves_the_other_its_defaults() {
    let manifest = with_spec(
        "  policies: {timeouts: {DefaultTimeoutPolicy: 1s, t: 2s}, retries: {DefaultRetryPolicy: {}}}\n\
         \x20 targets: {components: {orders: {outbound: {timeout: t}}}}\n",
    );
    let policy = outbound(&manifest);
    assert_eq!(policy.timeout, Some(Duration::from_secs(2)));
    assert!(policy.retry.is_none(), "an entry takes the place of all defaults of its direction");
    assert_eq!(inbound(&manifest).timeout, Some(Duration::from_secs(1)));
    let none = with_spec(
        "  policies: {timeouts: {DefaultTimeoutPolicy: 1s}}\n  targets: {components: {orders: {outbound: {}}}}\n",
    );
    assert!(none.policies.outbound("orders").expect("no names").is_none());
}

#[test]
fn each_direction_has_a_breaker_of_its_own() {
    let manifest = with_spec("  policies: {circuitBreakers: {DefaultCircuitBreakerPolicy: {}}}\n");
    let (outbound, inbound) = (outbound(&manifest).breaker, inbound(&manifest).breaker);
    assert!(!std::sync::Arc::ptr_eq(&outbound.expect("a breaker"), &inbound.expect("a breaker")));
}

#[test]
fn of_several_documents_the_later_policies_and_targets_count() {
    let document = |spec: &str| format!("{HEAD}spec:\n{spec}");
    let text = format!(
        "{COMPONENT}{}---\n{}",
        document(
            "  policies: {timeouts: {a: 1s, b: 2s}}\n  targets: {components: {orders: {outbound: {timeout: a}}}}\n"
        ),
        document("  policies: {timeouts: {a: 3s}, retries: {r: {}}}\n"),
    );
    assert_eq!(outbound(&read(&text)).timeout, Some(Duration::from_secs(3)));
    let text = format!(
        "{text}---\n{}",
        document("  targets: {components: {orders: {outbound: {retry: r, timeout: b}}}}\n")
    );
    let manifest = read(&text);
    assert_eq!(faults(&manifest), [""; 0]);
    let policy = outbound(&manifest);
    assert_eq!(policy.timeout, Some(Duration::from_secs(2)));
    assert!(policy.retry.is_some());
}

#[test]
fn merged_mappings_and_the_last_of_two_names_count() {
    let manifest = with_spec(
        "  policies:\n    timeouts:\n      a: 1s\n      <<: {a: 9s, DefaultTimeoutPolicy: 2s}\n      a: 4s\n\
         \x20 targets: {components: {orders: {inbound: {timeout: a}}}}\n",
    );
    assert_eq!(outbound(&manifest).timeout, Some(Duration::from_secs(2)));
    assert_eq!(inbound(&manifest).timeout, Some(Duration::from_secs(4)));
}

#[test]
fn built_in_names_are_names_like_others() {
    let manifest = with_spec(
        "  policies: {retries: {DaprBuiltInServiceRetries: {maxRetries: 1}}}\n\
         \x20 targets: {components: {orders: {outbound: {retry: DaprBuiltInServiceRetries}}}}\n",
    );
    assert_eq!(outbound(&manifest).retry.expect("a retry policy").backoff.retries, Some(1));
    assert!(
        with_spec("  policies: {retries: {DaprBuiltInServiceRetries: {}}}\n")
            .policies
            .outbound("orders")
            .expect("no names")
            .is_none()
    );
}

#[test]
fn the_fingerprint_follows_the_policies() {
    let print = |timeout: &str| {
        with_spec(&format!("  policies: {{timeouts: {{DefaultTimeoutPolicy: {timeout}}}}}\n")).fingerprint()
    };
    assert_eq!(print("1s"), print("1s"));
    assert_ne!(print("1s"), print("2s"));
}
