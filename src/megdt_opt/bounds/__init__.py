"""Closed forms and bounds; each function states its proposition, proof, region and source, and is validated.

`megdt-opt bounds` checks every one of them on random instances (`megdt_opt.bounds.checks.validation`).
"""

from megdt_opt.bounds.batches import BatchBlocks, batch_blocks, contiguous_batches
from megdt_opt.bounds.cuts import BangBang, bang_bang
from megdt_opt.bounds.flow import LargestFlow, largest_flow, speculation_bound_s
from megdt_opt.bounds.limits import approach_to_unlimited_s, idle_below, unlimited, without
from megdt_opt.bounds.parallel import PeuBalance, peu_balance
from megdt_opt.bounds.price import PriceBound, price_bound, price_bound_s, shapley_folkman_gap_s
from megdt_opt.bounds.sequencing import Sequence, reserving_ratio_bound, reserving_s, sequencing_max, sequencing_sum
from megdt_opt.bounds.shares import RuleShares, equal_deadline_bound_s, equal_deadline_rule, square_root_rule
from megdt_opt.bounds.single_user import (
    Alone,
    best_seu,
    best_seu_device_first,
    centralised_s,
    e2u_s,
    local_s,
    peu_s,
    seu_device_first_s,
    seu_s,
    u2e_s,
)
from megdt_opt.bounds.splitting import EnergyDelayFront, energy_delay_front
from megdt_opt.bounds.thresholds import Crowd, device_joins_in, download_threshold_bit_per_s, download_threshold_hz
from megdt_opt.bounds.turns import identical_turns_s, sequencing_prefixes
from megdt_opt.problem.generation_split import generation_split

__all__ = [
    "Alone",
    "BangBang",
    "BatchBlocks",
    "Crowd",
    "EnergyDelayFront",
    "LargestFlow",
    "PeuBalance",
    "PriceBound",
    "RuleShares",
    "Sequence",
    "approach_to_unlimited_s",
    "bang_bang",
    "batch_blocks",
    "best_seu",
    "best_seu_device_first",
    "centralised_s",
    "contiguous_batches",
    "device_joins_in",
    "download_threshold_bit_per_s",
    "download_threshold_hz",
    "e2u_s",
    "energy_delay_front",
    "equal_deadline_bound_s",
    "equal_deadline_rule",
    "generation_split",
    "identical_turns_s",
    "idle_below",
    "largest_flow",
    "local_s",
    "peu_balance",
    "peu_s",
    "price_bound",
    "price_bound_s",
    "reserving_ratio_bound",
    "reserving_s",
    "sequencing_max",
    "sequencing_prefixes",
    "sequencing_sum",
    "seu_device_first_s",
    "seu_s",
    "shapley_folkman_gap_s",
    "speculation_bound_s",
    "square_root_rule",
    "u2e_s",
    "unlimited",
    "without",
]
