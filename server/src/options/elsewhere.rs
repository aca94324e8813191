//! Flags of daprd about what is not here: taken, so that a command line of daprd works, and told in a warning.

use clap::Args;

macro_rules! elsewhere {
    ($($name:ident)*) => {
        /// What was said about things that are not here.
        #[derive(Debug, Clone, Default, Args)]
        pub struct Elsewhere {
            $(
                #[allow(missing_docs)]
                #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "true")]
                pub $name: Option<String>,
            )*
        }

        impl Elsewhere {
            /// The flags that were given, unless they say no.
            pub(crate) fn given(&self) -> Vec<String> {
                let all = [$((stringify!($name), &self.$name)),*];
                let said = |value: &&Option<String>| {
                    value.as_ref().is_some_and(|text| !matches!(text.as_str(), "" | "false" | "0"))
                };
                let given = all.into_iter().filter(|(_, value)| said(value));
                given.map(|(name, _)| format!("--{}", name.replace('_', "-"))).collect()
            }
        }
    };
}

// Actors, workflows and jobs; certificates between sidecars; calls between them; browsers; profiles; Kubernetes.
elsewhere! {
    actors_service
    allowed_origins
    app_health_port
    control_plane_address
    control_plane_namespace
    control_plane_trust_domain
    dapr_internal_grpc_listen_address
    dapr_internal_grpc_port
    disable_builtin_k8s_secret_store
    enable_mtls
    enable_profiling
    placement_host_address
    profile_port
    reminders_service
    scheduler_host_address
    scheduler_job_streams
    sentry_address
}
