//! Bindwright as a Rust program uses it.

use bindwright::{Client, ClientOptions, Request};

use crate::options::Options;
use crate::{Failure, PAYLOAD, Peer};

#[derive(Clone)]
pub(crate) struct Embedded {
    client: Client,
    binding: String,
}

impl Embedded {
    pub(crate) fn open(options: &Options) -> Result<Self, Failure> {
        let resources = Some(vec![options.resources.as_str().into()]);
        let client = Client::open(ClientOptions { resources, ..ClientOptions::default() })?;
        Ok(Self { client, binding: options.binding.clone() })
    }
}

impl Peer for Embedded {
    async fn send(&self, key: Option<String>) -> Result<(), Failure> {
        let mut request = Request::new(PAYLOAD);
        if let Some(key) = key {
            request = request.with("partitionKey", key);
        }
        self.client.invoke_binding(&self.binding, "create", request, None).await?;
        Ok(())
    }

    fn send_blocking(&self) -> Result<(), Failure> {
        self.client
            .invoke_binding_blocking(&self.binding, "create", Request::new(PAYLOAD), None, || false)?;
        Ok(())
    }

    fn send_bulk(&self, records: usize) -> Result<(), Failure> {
        let requests = (0..records).map(|_| Request::new(PAYLOAD)).collect();
        for result in self.client.invoke_many_blocking(&self.binding, "create", requests, None, || false)? {
            result?;
        }
        Ok(())
    }
}
