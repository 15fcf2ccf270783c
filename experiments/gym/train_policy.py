"""A small policy trained in the demo's cell, and its regret beside the baselines' and the proven optimum.

    python experiments/gym/train_policy.py [--lessons 1000] [--steps 2000] [--episodes 5]

A network of two layers sees what the environment shows and gives the odds of each user's options. First it learns what
the proven solutions of some slots chose (`info["optimal_action"]`), then from its own rewards (REINFORCE with a learned
baseline, on minus the logarithm of the objective). Scores are of episodes that were not trained on; the learned policy
takes each user's likeliest option. The cell's bands are a quarter of the demo's and its objective is the sum: with the
demo's own bands, and for the worst latency (that of the user who may not send its request), fading hardly changes the
best choices. About a minute of processor time; writes results.json beside this file.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from record import keep

from megdt_opt import Scenario, TimingProfile
from megdt_opt.gym import BASELINES, AllocationEnv, score

HIDDEN, BATCH, RATE, HELD_OUT = 64, 200, 3e-3, 10**6


class Network(torch.nn.Module):
    """Odds of all users' options in one row, and what the reward is expected to be."""

    def __init__(self, env: AllocationEnv) -> None:
        super().__init__()
        self.sizes = [len(own) for own in env.choices]
        self.trunk = torch.nn.Sequential(
            torch.nn.Linear(env.problem.users + 1, HIDDEN),
            torch.nn.Tanh(),
            torch.nn.Linear(HIDDEN, HIDDEN),
            torch.nn.Tanh(),
        )
        self.odds, self.worth = torch.nn.Linear(HIDDEN, sum(self.sizes)), torch.nn.Linear(HIDDEN, 1)

    def forward(self, seen: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        hidden = self.trunk(seen)
        logs = [torch.log_softmax(own, -1) for own in self.odds(hidden).split(self.sizes, -1)]
        return logs, self.worth(hidden)[..., 0]

    def act(self, env: AllocationEnv, seen: np.ndarray) -> np.ndarray:
        """Each user's likeliest option."""
        with torch.no_grad():
            return np.array([int(own.argmax()) for own in self(torch.as_tensor(seen))[0]])


def cell(prove: bool = True) -> AllocationEnv:
    """The bundled factory cell with 15 kHz in place of 60, links that fade by 8 dB, and the sum of the latencies."""
    scenario = Scenario.bundled("demo")
    channel = scenario.channel.model_copy(update={"downlink_hz": 15e3, "uplink_hz": 15e3})
    scenario = scenario.model_copy(update={"objective": "sum", "channel": channel})
    return AllocationEnv(scenario, profiles={"here": TimingProfile.bundled("twin-cpu")}, fading_db=8.0, prove=prove)


def likelihood(logs: list[torch.Tensor], actions: torch.Tensor) -> torch.Tensor:
    """Logarithm of the odds of actions (B, K), summed over users, (B,)."""
    return sum(own.gather(-1, actions[:, k, None])[:, 0] for k, own in enumerate(logs))  # type: ignore[return-value]


def slots(env: AllocationEnv, seed: int) -> Any:
    """What is shown, slot after slot, through episodes of rising seeds; send it an action for each."""
    while True:
        seen, _ = env.reset(seed=seed)
        over = False
        while not over:
            action = yield seen
            seen, reward, _, over, info = env.step(action)
            yield reward, info
        seed += 1


def imitate(net: Network, lessons: int) -> None:
    """Learn the proven choices of some slots."""
    env = cell()
    shown, chosen, course = [], [], slots(env, 0)
    for _ in range(lessons):
        shown.append(next(course))
        chosen.append(course.send(np.zeros(len(net.sizes), dtype=np.int64))[1]["optimal_action"])
    seen, actions = torch.as_tensor(np.array(shown)), torch.as_tensor(np.array(chosen))
    optimiser = torch.optim.Adam(net.parameters(), RATE)
    for _ in range(60):
        for part in torch.randperm(lessons).split(BATCH):
            loss = -likelihood(net(seen[part])[0], actions[part]).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()


def reinforce(net: Network, steps: int) -> None:
    """Learn from own rewards."""
    env = cell(prove=False)
    course, optimiser = slots(env, HELD_OUT // 2), torch.optim.Adam(net.parameters(), RATE / 10)
    for _ in range(steps // BATCH):
        shown, taken, rewards = [], [], []
        for _ in range(BATCH):
            seen = next(course)
            with torch.no_grad():
                logs, _ = net(torch.as_tensor(seen))
            action = np.array([int(torch.multinomial(own.exp(), 1)) for own in logs])
            shown.append(seen)
            taken.append(action)
            rewards.append(-np.log(-course.send(action)[0]))
        seen, reward = torch.as_tensor(np.array(shown)), torch.as_tensor(np.array(rewards), dtype=torch.float32)
        logs, worth = net(seen)
        gain = (reward - worth).detach()
        gain = (gain - gain.mean()) / (gain.std() + 1e-6)
        loss = -(gain * likelihood(logs, torch.as_tensor(np.array(taken)))).mean() + ((reward - worth) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lessons", type=int, default=1000, help="slots whose proven choice is learned")
    parser.add_argument("--steps", type=int, default=2000, help="slots of learning from rewards")
    parser.add_argument("--episodes", type=int, default=5, help="held-out episodes of each score")
    asked = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    env = cell()
    net, spent = Network(env), {}
    rows = [{"policy": name, **asdict(score(env, name, episodes=asked.episodes, seed=HELD_OUT))} for name in BASELINES]
    print(*map(json.dumps, rows), sep="\n", flush=True)
    for name, learn, amount in (("imitation", imitate, asked.lessons), ("imitation, rewards", reinforce, asked.steps)):
        begin = time.process_time()
        learn(net, amount)
        spent[name] = time.process_time() - begin
        rows.append({"policy": name, **asdict(score(env, net.act, episodes=asked.episodes, seed=HELD_OUT))})
        print(json.dumps(rows[-1]), flush=True)
    keep(Path(__file__).with_name("results.json"), rows, lessons=asked.lessons, steps=asked.steps, processor_s=spent)


if __name__ == "__main__":
    main()
