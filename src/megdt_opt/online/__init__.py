"""Planning over time: requests arrive, links fade, and a policy that knows nothing of what comes decides who is served
where; a simulation shows what that is worth, beside what no policy can beat."""

from megdt_opt.online.policies import POLICIES, Policy, Replanned
from megdt_opt.online.result import Simulation
from megdt_opt.online.service import Service
from megdt_opt.online.simulation import simulate, with_bounds
from megdt_opt.online.trace import Trace

__all__ = ["POLICIES", "Policy", "Replanned", "Service", "Simulation", "Trace", "simulate", "with_bounds"]
