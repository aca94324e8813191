//! What `check` looks for: one stable name for each kind of finding.

use crate::error::{Error, ErrorCode};

/// A kind of finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The stable name, such as `unknown-setting`.
    pub id: &'static str,
    /// What is wrong, as one sentence.
    pub summary: &'static str,
}

macro_rules! rules {
    ($($(#[doc = $summary:literal])* $name:ident $id:literal;)*) => {
        $($(#[doc = $summary])* pub(super) const $name: Rule = Rule { id: $id, summary: concat!($($summary),*).trim_ascii() };)*

        /// All of them.
        pub const RULES: &[Rule] = &[$($name),*];
    };
}

rules! {
    /// A text is not YAML, or not UTF-8.
    INVALID_YAML "invalid-yaml";
    /// A document is not what the format asks for.
    INVALID_DOCUMENT "invalid-document";
    /// Two components have one name.
    DUPLICATE_NAME "duplicate-name";
    /// A value that stands in a secret store or in the environment cannot be had.
    UNRESOLVED_REFERENCE "unresolved-reference";
    /// No component type has this name and version.
    UNKNOWN_TYPE "unknown-type";
    /// The component is of a kind that Bindwright has no use for, such as a state store.
    FOREIGN_TYPE "foreign-type";
    /// The component's type is written with an older name.
    DEPRECATED_TYPE "deprecated-type";
    /// A setting that the component needs is missing.
    MISSING_SETTING "missing-setting";
    /// The value of a setting cannot be used.
    INVALID_SETTING "invalid-setting";
    /// A setting works, and looks like a slip.
    QUESTIONABLE_SETTING "questionable-setting";
    /// The component type has no such setting.
    UNKNOWN_SETTING "unknown-setting";
    /// A setting is given twice.
    DUPLICATE_SETTING "duplicate-setting";
    /// A setting has a newer name.
    DEPRECATED_SETTING "deprecated-setting";
    /// A setting is accepted and has no effect.
    IGNORED_SETTING "ignored-setting";
    /// A setting concerns a direction that the component does not have.
    WRONG_DIRECTION "wrong-direction";
    /// A component hands events to a binding that is not there, or that cannot take them.
    UNKNOWN_BINDING "unknown-binding";
    /// A policy document cannot be used.
    INVALID_POLICY "invalid-policy";
    /// A policy document has a field that nobody reads.
    UNKNOWN_POLICY_FIELD "unknown-policy-field";
    /// A policy document names a policy that is not there.
    UNKNOWN_POLICY "unknown-policy";
    /// A policy document names a component that is not there.
    UNKNOWN_TARGET "unknown-target";
    /// A component is not meant for this app id or namespace, and was not looked at.
    OUT_OF_SCOPE "out-of-scope";
    /// There is no component to look at.
    NOTHING_FOUND "nothing-found";
}

/// The rule of a fault of the manifest, other than of its policies, and whether it keeps something from working.
pub(super) fn of_document(fault: &Error) -> (Rule, bool) {
    let rule = rule_of_document(fault);
    (rule, rule != UNKNOWN_SETTING)
}

fn rule_of_document(fault: &Error) -> Rule {
    let says = |text: &str| fault.message().contains(text);
    match fault.code() {
        ErrorCode::UnresolvedReference => UNRESOLVED_REFERENCE,
        ErrorCode::InvalidSettings if says("given twice") => DUPLICATE_SETTING,
        // Secret stores are opened, and so warned about, while documents are read.
        ErrorCode::InvalidSettings if says(": no setting of ") => UNKNOWN_SETTING,
        ErrorCode::InvalidSettings => INVALID_SETTING,
        ErrorCode::UnknownType => UNKNOWN_TYPE,
        _ if says("not valid YAML") || says("expected UTF-8") => INVALID_YAML,
        _ if says("duplicate definition") => DUPLICATE_NAME,
        _ => INVALID_DOCUMENT,
    }
}

/// The rule of a fault of policies, and whether it keeps something from working.
pub(super) fn of_policy(fault: &Error) -> (Rule, bool) {
    let says = |text: &str| fault.message().contains(text);
    if says("no field of a Resiliency document") {
        (UNKNOWN_POLICY_FIELD, false)
    } else if says("no component is called") {
        (UNKNOWN_TARGET, false)
    } else if says("policy is called") {
        (UNKNOWN_POLICY, true)
    } else if says("the breaker never opens") {
        (INVALID_POLICY, false)
    } else {
        (INVALID_POLICY, true)
    }
}

/// The rule of an error of a component's settings.
pub(super) fn of_setting(error: &Error) -> Rule {
    let says = |text: &str| error.message().contains(text);
    match error.code() {
        ErrorCode::UnknownType => UNKNOWN_TYPE,
        _ if says("required, but missing") || says("needed by") || says("needed to") => MISSING_SETTING,
        _ if says("given twice") => DUPLICATE_SETTING,
        _ => INVALID_SETTING,
    }
}

/// The rule of a warning about a component's settings.
pub(super) fn of_warning(warning: &Error) -> Rule {
    let says = |text: &str| warning.message().contains(text);
    if says(": no setting of ") {
        UNKNOWN_SETTING
    } else if says("has no effect beside another name") {
        DUPLICATE_SETTING
    } else {
        QUESTIONABLE_SETTING
    }
}
