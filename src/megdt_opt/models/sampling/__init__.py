"""Samplers that can stop and go on at any step, from diffusers' schedulers, for every model.

A chain's state is a flat dictionary of tensors: the latent and what else the sampler needs, by the law of
`megdt_opt.program.samplers`. Nothing is remembered between calls, so a chain that is cut anywhere and continued by
another process gives the same bits.
"""

from megdt_opt.models.sampling.noise import standard_normal as standard_normal
from megdt_opt.models.sampling.sampler import Predict as Predict
from megdt_opt.models.sampling.sampler import Sampler as Sampler
from megdt_opt.models.sampling.sampler import step_together as step_together
from megdt_opt.models.sampling.samplers import CHAIN_KINDS as CHAIN_KINDS
from megdt_opt.models.sampling.samplers import SCHEDULERS as SCHEDULERS
from megdt_opt.models.sampling.samplers import Samplers as Samplers
