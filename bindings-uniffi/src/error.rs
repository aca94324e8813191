//! Core's errors for the languages of UniFFI: one variant for each code, made from core's table.

use bindwright::{Error, ErrorCode};

macro_rules! binding_error {
    ($($variant:ident $wire:literal $class:literal $retry:ident $meaning:literal $advice:literal;)*) => {
        /// Why a call failed: one variant for each code of `docs/errors.md`.
        #[derive(Debug, uniffi::Error)]
        pub enum BindingError {
            $(
                #[doc = $meaning]
                $variant {
                    /// The stable spelling of the code.
                    code: String,
                    /// What happened.
                    text: String,
                    /// The component concerned.
                    component: Option<String>,
                    /// The operation concerned.
                    operation: Option<String>,
                    /// Whether a second try can help; absent when nobody knows.
                    retriable: Option<bool>,
                    /// The backend's own text.
                    backend: Option<String>,
                    /// What to do next.
                    what_to_do: String,
                },
            )*
        }

        impl From<Error> for BindingError {
            fn from(error: Error) -> Self {
                let code = error.code().as_str().to_owned();
                let text = error.to_string();
                let component = error.component_name().map(str::to_owned);
                let operation = error.operation_name().map(str::to_owned);
                let retriable = error.retriable();
                let backend = error.backend_text().map(str::to_owned);
                let what_to_do = error.what_to_do().to_owned();
                match error.code() {
                    $(ErrorCode::$variant => Self::$variant {
                        code, text, component, operation, retriable, backend, what_to_do,
                    },)*
                }
            }
        }

        impl std::fmt::Display for BindingError {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self { $(Self::$variant { text, .. } => formatter.write_str(text),)* }
            }
        }
    };
}
bindwright::for_each_error_code!(binding_error);

impl std::error::Error for BindingError {}
