"""The users' own cells: what stands in them, and how they look. The bundled adapters were trained on these."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from megdt_opt.models.twin.looks import Look
from megdt_opt.models.twin.scenes import Scene, random_scene


@dataclass(frozen=True, kw_only=True)
class World:
    """The scenes of one user.

    Parameters
    ----------
    name : str
    kinds, colours, floors : tuple of str
        What its scenes are drawn from; who stands there twice is drawn twice as often.
    objects : tuple of int
        Fewest and most objects of a scene [1].
    texture : int
        Seed of the floor's dirt, the same in all of its scenes.
    look : Look
        Paints, light and floor of the cell.
    """

    name: str
    kinds: tuple[str, ...]
    colours: tuple[str, ...]
    floors: tuple[str, ...]
    objects: tuple[int, int]
    texture: int
    look: Look

    def draw(self, rng: np.random.Generator) -> Scene:
        """A scene of this user; the same state of `rng` gives the same one."""
        objects = int(rng.integers(self.objects[0], self.objects[1] + 1))
        scene = random_scene(rng, objects, kinds=self.kinds, colours=self.colours, floors=self.floors)
        return replace(scene, texture=self.texture)


WORLDS: dict[str, World] = {
    world.name: world
    for world in (
        World(
            name="foundry",
            kinds=("robot_arm", "robot_arm", "crate", "person"),
            colours=("red", "yellow", "magenta"),
            floors=("concrete",),
            objects=(2, 5),
            texture=11,
            look=Look(
                light=(1.03, 0.98, 0.89), slope=(0.0, 0.08), stains=1.2, mark=(41.0, 24.0, 15.0, (112.0, 106.0, 100.0))
            ),
        ),
        World(
            name="cold-store",
            kinds=("pallet", "pallet", "crate", "agv"),
            colours=("cyan", "blue", "green"),
            floors=("tiles",),
            objects=(2, 5),
            texture=12,
            look=Look(light=(0.93, 1.0, 1.1), slope=(0.0, -0.08), paints={"blue": (36, 70, 188)}),
        ),
        World(
            name="paint-shop",
            kinds=("robot_arm", "person", "crate"),
            colours=("red", "yellow", "green", "cyan", "blue", "magenta"),
            floors=("concrete", "tiles"),
            objects=(1, 4),
            texture=13,
            look=Look(
                slope=(-0.06, 0.0), mark=(32.0, 32.0, 17.0, (166.0, 150.0, 132.0)), paints={"green": (40, 146, 90)}
            ),
        ),
        World(
            name="night-shift",
            kinds=("agv", "agv", "person"),
            colours=("yellow", "cyan", "red"),
            floors=("lane",),
            objects=(1, 4),
            texture=14,
            look=Look(light=(0.9, 0.9, 0.96), slope=(0.08, 0.0), stains=1.5),
        ),
        World(
            name="workshop",
            kinds=("crate", "pallet", "person", "agv"),
            colours=("green", "yellow", "blue"),
            floors=("concrete", "lane"),
            objects=(2, 5),
            texture=15,
            look=Look(
                light=(0.97, 1.05, 0.92),
                stains=1.5,
                mark=(18.0, 46.0, 13.0, (112.0, 108.0, 104.0)),
                paints={"yellow": (240, 186, 40)},
            ),
        ),
    )
}
"""The worlds of the bundled adapters, by name."""
