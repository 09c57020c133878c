//! How a step of a workflow's execution stands.

use serde::Deserialize;

use super::{Peak, PeakError};

/// How a step stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepStatus {
    /// It ended well.
    Success,
    /// It ended otherwise; Peak's word for it.
    Failed(&'static str),
    /// It has not ended.
    Running,
    /// The execution has no step of this name.
    Missing,
}

#[derive(Deserialize)]
struct Execution {
    #[serde(default)]
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    #[serde(default)]
    name: String,
    #[serde(default)]
    status: String,
}

#[derive(Deserialize)]
struct Workflow {}

impl Peak {
    /// How the step `step` of an execution stands. The execution itself is still running while a step of it calls us,
    /// so its own status tells nothing.
    ///
    /// # Errors
    /// [`PeakError::NotFound`] where the workflow has no such execution; else why Peak could not be asked.
    pub async fn step(
        &self,
        workflow_id: &str,
        execution_id: &str,
        step: &str,
    ) -> Result<StepStatus, PeakError> {
        let path = ["workflows", "api", "v1", "workflows", workflow_id, "executions", execution_id];
        let execution: Execution = self.get(&path, &[], "execution of that id in the workflow").await?;
        let found = execution.steps.into_iter().find(|one| one.name == step);
        Ok(found.map_or(StepStatus::Missing, |step| status(&step.status)))
    }

    /// Asks for the workflow, and keeps nothing of the answer: proves that key and id are good.
    ///
    /// # Errors
    /// [`PeakError::NotFound`] where there is no such workflow; else why Peak could not be asked.
    pub async fn workflow(&self, workflow_id: &str) -> Result<(), PeakError> {
        let path = ["workflows", "api", "v1", "workflows", workflow_id];
        self.get::<Workflow>(&path, &[], "workflow of that id").await.map(|Workflow {}| ())
    }
}

/// Source: Peak SDK 1.29.0, the statuses of executions; those of steps are not listed. A word not known here counts
/// as not ended: whoever waits for the end has a bound.
fn status(word: &str) -> StepStatus {
    match word.to_ascii_lowercase().as_str() {
        "success" => StepStatus::Success,
        "failed" => StepStatus::Failed("Failed"),
        "stopped" => StepStatus::Failed("Stopped"),
        "skipped" => StepStatus::Failed("Skipped"),
        _ => StepStatus::Running,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_success_is_success() {
        assert_eq!(status("Success"), StepStatus::Success);
        for word in ["Failed", "Stopped", "Skipped"] {
            assert_eq!(status(word), StepStatus::Failed(word));
        }
        for word in ["Running", "Stopping", "Pending", "", "Succeeded?"] {
            assert_eq!(status(word), StepStatus::Running, "{word}");
        }
    }
}
