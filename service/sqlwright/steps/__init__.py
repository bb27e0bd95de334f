"""Several calls as one transaction: read the body, look up and validate every step, then run them, all or nothing."""

from sqlwright.steps.draft import Draft, read_draft
from sqlwright.steps.plan import Sources, Step, Steps, look_up, plan_steps
from sqlwright.steps.run import run_steps

__all__ = ["Draft", "Sources", "Step", "Steps", "look_up", "plan_steps", "read_draft", "run_steps"]
