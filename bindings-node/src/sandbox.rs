//! The native part of `bindwright/testing`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bindwright::testing::{Answer, Ending, Invocation, Progress, PushedEvent, Sandbox, SandboxOptions};
use bindwright::{Body, Error, ErrorCode, Reply, Result};
use napi::Env;
use napi::bindgen_prelude::{Function, FunctionRef, PromiseRaw, Uint8ArraySlice};
use napi_derive::napi;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::calls::{Keeps, begin, promise};
use crate::convert::{Data, body, duration, metadata, texts};
use crate::errors::{code_of, refused, thrown};

/// How long a call that is made on a thread of core's waits for the program's loop to answer it.
const PATIENCE: Duration = Duration::from_secs(30);

/// One attempt of a call, as a fake saw it.
#[napi(object, object_from_js = false)]
pub struct InvocationParts {
    /// The component's name.
    pub binding: String,
    /// What was asked.
    pub operation: String,
    /// The data.
    pub data: Data,
    /// Names and values in turn.
    pub metadata: Vec<String>,
    /// The code of the error that it was answered with.
    pub error: Option<&'static str>,
}

impl From<&Invocation> for InvocationParts {
    fn from(invocation: &Invocation) -> Self {
        Self {
            binding: invocation.binding.to_string(),
            operation: invocation.operation.to_string(),
            data: Data(invocation.request.body.clone()),
            metadata: texts(&invocation.request.metadata),
            error: invocation.error.map(ErrorCode::as_str),
        }
    }
}

/// For which calls an answer is, and how late it is given.
#[napi(object, object_to_js = false)]
pub struct AnswerConditions {
    /// Only for calls of this operation.
    pub operation: Option<String>,
    /// Only for the next so many.
    pub times: Option<u32>,
    /// The answer takes so long.
    pub delay_ms: Option<f64>,
}

impl AnswerConditions {
    fn of(self, mut answer: Answer) -> Answer {
        if let Some(operation) = self.operation {
            answer = answer.operation(&operation);
        }
        if let Some(times) = self.times {
            answer = answer.times(times);
        }
        answer.delay(self.delay_ms.map(duration).unwrap_or_default())
    }
}

/// What a function of a test answers: data and metadata, or the code and the message of an error.
#[napi(object, object_to_js = false)]
pub struct FunctionAnswer<'a> {
    /// Left out for no data.
    pub data: Option<Uint8ArraySlice<'a>>,
    /// Names and values in turn.
    pub metadata: Option<Vec<String>>,
    /// The code of an error.
    pub code: Option<String>,
    /// The message of an error.
    pub message: Option<String>,
}

impl FunctionAnswer<'_> {
    fn result(self) -> Result<Reply> {
        match self.code.as_deref().map(|code| code_of(code).unwrap_or(ErrorCode::Internal)) {
            Some(code) => Err(Error::new(code, self.message.unwrap_or_default())),
            None => Ok(Reply { body: body(self.data), metadata: metadata(self.metadata) }),
        }
    }
}

type Question = (Invocation, mpsc::Sender<Result<Reply>>);

/// A function of the program, which only its own thread can call.
struct ProgramFunction {
    env: Env,
    function: FunctionRef<InvocationParts, FunctionAnswer<'static>>,
}

impl ProgramFunction {
    fn call(&self, invocation: &Invocation) -> Result<Reply> {
        let answer = self.function.borrow_back(&self.env);
        let answer = answer.and_then(|function| function.call(InvocationParts::from(invocation)));
        answer.map_err(|fault| failed(&fault.to_string())).and_then(FunctionAnswer::result)
    }
}

fn failed(text: &str) -> Error {
    Error::new(ErrorCode::Internal, format!("the function that replies failed: {text}"))
        .advice("Correct the function that the test gave to `reply`.")
}

thread_local! {
    /// The functions of this thread's program, by numbers that no other thread has.
    static FUNCTIONS: RefCell<HashMap<u64, Rc<ProgramFunction>>> = RefCell::default();
}

static NEXT_FUNCTION: AtomicU64 = AtomicU64::new(0);

/// Keeps a function where calls of its own thread find it.
struct Listed(u64);

impl Listed {
    fn new(function: Rc<ProgramFunction>) -> Self {
        let number = NEXT_FUNCTION.fetch_add(1, Ordering::Relaxed);
        FUNCTIONS.with_borrow_mut(|functions| functions.insert(number, function));
        Self(number)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        // Out of the list before it is dropped. At the end of the thread there is no list any more.
        let removed = FUNCTIONS.try_with(|functions| functions.borrow_mut().remove(&self.0));
        drop(removed);
    }
}

/// The fakes.
#[napi]
pub struct NativeSandbox(Arc<Sandbox>);

#[napi]
impl NativeSandbox {
    /// Opens a sandbox.
    #[napi(factory, catch_unwind)]
    pub fn open(env: Env, longest_pause_ms: Option<f64>) -> napi::Result<Self> {
        let mut options = SandboxOptions::default();
        if let Some(pause) = longest_pause_ms {
            options.longest_pause = duration(pause);
        }
        thrown(env, Sandbox::with(options)).map(|sandbox| Self(Arc::new(sandbox)))
    }

    /// What was sent, to one binding or to all.
    #[napi(catch_unwind)]
    pub fn invocations(&self, binding: Option<String>) -> Vec<InvocationParts> {
        self.0.invocations(binding.as_deref()).iter().map(InvocationParts::from).collect()
    }

    /// Forgets what was sent.
    #[napi(catch_unwind)]
    pub fn forget(&self) {
        self.0.forget();
    }

    /// Waits until so many attempts were answered.
    #[napi(catch_unwind)]
    pub fn wait_for<'env>(
        &self,
        env: &'env Env,
        binding: String,
        operation: Option<String>,
        count: u32,
        timeout_ms: f64,
    ) -> napi::Result<PromiseRaw<'env, Vec<InvocationParts>>> {
        let sandbox = self.0.clone();
        promise(env, async move {
            let wait = sandbox.wait_for(&binding, operation.as_deref(), count as usize, duration(timeout_ms));
            Ok(wait.await?.iter().map(InvocationParts::from).collect())
        })
    }

    /// Lets calls succeed with this.
    #[napi(catch_unwind)]
    pub fn reply(
        &self,
        binding: String,
        data: Option<Uint8ArraySlice>,
        flat: Option<Vec<String>>,
        conditions: AnswerConditions,
    ) {
        let answer = Answer::reply(Reply { body: body(data), metadata: metadata(flat) });
        self.0.answer(&binding, conditions.of(answer));
    }

    /// Lets a function of the program answer, on its own thread: at once where the call is made there, else when its
    /// loop comes to it.
    #[napi(catch_unwind)]
    pub fn reply_with(
        &self,
        env: Env,
        binding: String,
        function: Function<'_, InvocationParts, FunctionAnswer<'static>>,
        conditions: AnswerConditions,
    ) -> napi::Result<()> {
        let (sender, mut questions) = unbounded_channel::<Question>();
        let program = Rc::new(ProgramFunction { env, function: function.create_ref()? });
        let listed = Listed::new(program.clone());
        let number = listed.0;
        // Ends when the answer that asks is gone.
        begin(&env, None, Keeps::Nothing, async move {
            let _listed = listed;
            while let Some((invocation, answer)) = questions.recv().await {
                // Whoever asked may have lost patience.
                let _ = answer.send(program.call(&invocation));
            }
            Ok(())
        })?;
        let answer = Answer::function(move |invocation| {
            let here = FUNCTIONS.with_borrow(|functions| functions.get(&number).cloned());
            here.map_or_else(|| ask(&sender, invocation), |program| program.call(invocation))
        });
        self.0.answer(&binding, conditions.of(answer));
        Ok(())
    }

    /// Lets calls fail with this code.
    #[napi(catch_unwind)]
    pub fn fail(
        &self,
        env: Env,
        binding: String,
        code: String,
        message: Option<String>,
        conditions: AnswerConditions,
    ) -> napi::Result<()> {
        let Some(code) = code_of(&code) else {
            let known: Vec<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
            return Err(refused(env, format!("code: expected one of {}, got {code:?}", known.join(", "))));
        };
        let answer = match message {
            Some(message) => Answer::error(Error::new(code, message)),
            None => Answer::error(code),
        };
        self.0.answer(&binding, conditions.of(answer));
        Ok(())
    }

    /// Has a binding receive an event.
    #[napi(catch_unwind)]
    pub fn push(
        &self,
        env: Env,
        binding: String,
        data: Option<Uint8ArraySlice>,
        flat: Option<Vec<String>>,
        key: Option<String>,
    ) -> napi::Result<NativePushedEvent> {
        let data: Body = body(data);
        let pushed = self.0.push(&binding, data, metadata(flat), key.as_deref());
        thrown(env, pushed).map(NativePushedEvent)
    }

    /// Ends it.
    #[napi(catch_unwind)]
    pub fn end(&self) {
        self.0.end();
    }
}

/// Has the program's thread answer a call that is made on another one, for example of a dead letter.
fn ask(sender: &UnboundedSender<Question>, invocation: &Invocation) -> Result<Reply> {
    let (tell, answer) = mpsc::channel();
    sender.send((invocation.clone(), tell)).map_err(|_| failed("its thread has ended"))?;
    answer.recv_timeout(PATIENCE).map_err(|_| failed("its thread did not come to it"))?
}

/// An event that a test pushed.
#[napi]
pub struct NativePushedEvent(PushedEvent);

#[napi]
impl NativePushedEvent {
    /// How far it is now.
    #[napi(catch_unwind)]
    pub fn progress(&self) -> ProgressParts {
        ProgressParts::from(self.0.progress())
    }

    /// Waits until it has come to its end, or until so many deliveries are over.
    #[napi(catch_unwind)]
    pub fn wait<'env>(
        &self,
        env: &'env Env,
        deliveries: Option<u32>,
        timeout_ms: f64,
    ) -> napi::Result<PromiseRaw<'env, ProgressParts>> {
        let (pushed, timeout) = (self.0.clone(), duration(timeout_ms));
        promise(env, async move {
            let progress = match deliveries {
                Some(deliveries) => pushed.delivered(deliveries, timeout).await,
                None => pushed.ended(timeout).await,
            };
            progress.map(ProgressParts::from)
        })
    }
}

/// How far an event is.
#[napi(object, object_from_js = false)]
pub struct ProgressParts {
    /// Deliveries that are over.
    pub deliveries: u32,
    /// How it came to its end.
    pub ending: Option<&'static str>,
    /// Why the last delivery that failed did so: a short name and a text.
    pub cause: Option<Vec<String>>,
}

impl From<Progress> for ProgressParts {
    fn from(progress: Progress) -> Self {
        Self {
            deliveries: progress.deliveries,
            ending: progress.ending.map(Ending::as_str),
            cause: progress.cause.map(|cause| vec![cause.code, cause.text]),
        }
    }
}
