//! What becomes of a login while the command that needs it is under way already.
//!
//! A command asks its first questions before the server has said yes, and is told nothing until then. So either all
//! goes on as if it had waited, or there is one failure to tell.

use std::pin::Pin;

use tokio::sync::mpsc;

use crate::cli::Failure;

/// A login on its way: does what follows from a yes, or says why there is none.
pub(super) type Verdict = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

/// Attends to the logins of one command.
#[derive(Debug)]
pub(super) struct Doorman(mpsc::UnboundedReceiver<Verdict>);

/// Where a command leaves its logins. When it is dropped, there are no more.
#[derive(Debug)]
pub(super) struct Bell(mpsc::UnboundedSender<Verdict>);

/// A doorman, and the bell that he listens to.
pub(super) fn doorman() -> (Bell, Doorman) {
    let (bell, logins) = mpsc::unbounded_channel();
    (Bell(bell), Doorman(logins))
}

impl Bell {
    /// Has a login attended to.
    pub(super) fn ring(&self, login: Verdict) {
        // There is a doorman for as long as there is a command.
        let _ = self.0.send(login);
    }
}

impl Doorman {
    /// Runs `command`, which owns the bell, to its end; but no further than up to a login that fails, which is then
    /// all there is to say. What the command came to counts only once its logins have succeeded.
    pub(super) async fn beside<T>(
        mut self,
        command: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let attending = async {
            while let Some(login) = self.0.recv().await {
                login.await?;
            }
            Ok::<(), Failure>(())
        };
        let command = async { Ok(command.await) };
        let ((), done) = tokio::try_join!(attending, command)?;
        done
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;
    use crate::cli::Exit;

    fn refused() -> Verdict {
        Box::pin(async { Err(Failure::new(Exit::Login, "no")) })
    }

    #[tokio::test]
    async fn a_login_that_fails_is_all_there_is_to_say() {
        let (bell, doorman) = doorman();
        bell.ring(refused());
        let waits_for_ever = async move {
            let _bell = bell;
            pending::<Result<(), Failure>>().await
        };
        assert_eq!(doorman.beside(waits_for_ever).await.unwrap_err().exit, Exit::Login);
    }

    #[tokio::test]
    async fn whatever_a_command_came_to_its_login_counts_first() {
        for fails in [false, true] {
            let (bell, doorman) = doorman();
            let command = async move {
                bell.ring(refused());
                if fails { Err(Failure::new(Exit::NotFound, "no file")) } else { Ok(()) }
            };
            assert_eq!(doorman.beside(command).await.unwrap_err().exit, Exit::Login);
        }
    }

    #[tokio::test]
    async fn after_a_good_login_the_command_counts() {
        let (bell, doorman) = doorman();
        let command = async move {
            bell.ring(Box::pin(async { Ok(()) }));
            Err::<(), _>(Failure::new(Exit::NotFound, "no file"))
        };
        assert_eq!(doorman.beside(command).await.unwrap_err().exit, Exit::NotFound);
    }
}
