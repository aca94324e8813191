//! The fakes that stand in for components.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;

use super::Invocation;
use super::pushed::BindingWitness;
use super::stage::Stage;
use crate::binding::{Call, InputBinding, OutputBinding, Reading, Reply, Request};
use crate::dispatch::Intake;
use crate::error::{ErrorCode, Result};
use crate::health::Health;
use crate::manifest::Component;
use crate::policy::Backoff;
use crate::queue::{QueueReading, Wanted};
use crate::registry::{self, ComponentType};
use crate::settings::RuntimeSettings;

impl Stage {
    /// The type of a component's fake. Of a type that this build has, directions, operations, the check of settings
    /// and the pauses between deliveries are the real ones; of any other, everything is taken.
    pub(crate) fn stand_in(self: &Arc<Self>, component: &Component) -> ComponentType {
        self.with(false, |state| state.components.insert(component.name.clone()));
        let real = registry::find(component).ok();
        // What needs a value that was left out cannot be judged.
        let judge = real.clone().filter(|_| !component.lacks_references);
        let operations =
            real.as_ref().map_or(Some(None), |real| real.can_send().then(|| real.known_operations()));
        let can_receive = real.as_ref().is_none_or(ComponentType::can_receive);
        let mut fake = ComponentType::new(real.as_ref().map_or("the sandbox", ComponentType::name));
        if let Some(operations) = operations {
            let stage = self.clone();
            fake = fake.output(move |component| {
                Ok(Arc::new(FakeOutput { stage: stage.clone(), name: component.name.clone(), operations }))
            });
        }
        if let Some(real) = judge.clone() {
            fake = fake.check(move |component| real.check_settings(component));
        }
        if can_receive {
            let stage = self.clone();
            fake = fake.input(move |component| {
                let real = judge.as_ref().map(|real| real.open_input(component)).transpose()?;
                let redelivery = real.map_or_else(Backoff::default, |real| real.redelivery());
                let max_uncommitted = RuntimeSettings::of(component)?.max_uncommitted as usize;
                let (stage, name) = (stage.clone(), component.name.clone());
                Ok(Arc::new(FakeInput { stage, name, redelivery, max_uncommitted }))
            });
        }
        fake
    }
}

struct FakeOutput {
    stage: Arc<Stage>,
    name: Arc<str>,
    /// `None` for any.
    operations: Option<&'static [&'static str]>,
}

/// An attempt that is not answered yet; dropped, its caller gave up.
struct Attempt<'a> {
    stage: &'a Stage,
    number: u64,
    error: Option<ErrorCode>,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.stage.done(self.number, self.error);
    }
}

#[async_trait]
impl OutputBinding for FakeOutput {
    fn operations(&self) -> &[&'static str] {
        self.operations.unwrap_or_default()
    }

    fn knows(&self, operation: &str) -> bool {
        self.operations.is_none_or(|known| known.contains(&operation))
    }

    async fn invoke(&self, call: &Call, request: Request) -> Result<Reply> {
        self.stage.check_open()?;
        let invocation = Invocation::new(self.name.clone(), call.operation.clone(), request);
        let (number, answer) = self.stage.begin(invocation.clone());
        let mut attempt = Attempt { stage: &self.stage, number, error: Some(ErrorCode::Cancelled) };
        let result = match answer {
            None => Ok(Reply::default()),
            Some(answer) => answer.give(&invocation, call.deadline).await,
        };
        attempt.error = result.as_ref().err().map(crate::error::Error::code);
        result
    }

    async fn close(&self, _deadline: Instant) -> Result<()> {
        Ok(())
    }
}

struct FakeInput {
    stage: Arc<Stage>,
    name: Arc<str>,
    redelivery: Backoff,
    max_uncommitted: usize,
}

#[async_trait]
impl InputBinding for FakeInput {
    async fn start(&self, intake: Intake) -> Result<Box<dyn Reading>> {
        self.stage.check_open()?;
        self.stage.with(false, |state| state.subscribed.insert(self.name.clone()));
        let witness = Arc::new(BindingWitness::new(&self.stage, self.name.clone()));
        let wanted = Wanted { intake, max_uncommitted: self.max_uncommitted, witness: Some(witness) };
        Ok(Box::new(FakeReading(QueueReading::start(Box::new(self.stage.queue(&self.name)), wanted).await?)))
    }

    fn redelivery(&self) -> Backoff {
        self.redelivery
    }
}

struct FakeReading(QueueReading);

#[async_trait]
impl Reading for FakeReading {
    async fn stop(&mut self, deadline: Instant) -> Result<()> {
        self.0.stop(deadline).await
    }

    fn health(&self) -> Health {
        Health::READY
    }
}
