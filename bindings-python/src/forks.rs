//! Hearing of forks, so that nobody has to ask the operating system which process this is. Tests: `tests/test_fork.py`.

/// Has core remember this process, and every forked child.
pub(crate) fn follow() {
    #[cfg(unix)]
    {
        extern "C" fn in_child() {
            bindwright::process::remember();
        }
        // SAFETY: the handler asks for the process id and stores it, which is allowed between fork and exec; this
        // library is never unloaded.
        let heard = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        if heard == 0 {
            bindwright::process::remember();
        }
    }
}
