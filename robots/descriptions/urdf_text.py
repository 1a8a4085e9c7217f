"""A URDF as MuJoCo can compile it: files of meshes found, what cannot be read left out and named."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

MESHES = (".stl", ".obj", ".msh")
"""Kinds of mesh files that MuJoCo reads."""
_SHAPES = ("box", "sphere", "cylinder", "capsule", "mesh")


class UrdfText:
    """A prepared URDF.

    Args:
        root: its `<robot>`, which is changed.
        path: where it was read.

    Attributes:
        text: the URDF for MuJoCo, with absolute paths of meshes.
        speed: speed limits by joint, rad/s, where the file gives one.
        unreadable: meshes that were left out, by file name.
        endless: revolute joints without a range. coupled: those that mimic others.

    Raises:
        ValueError: a joint's limits cannot be, or two joints have one name; the message names it.
    """

    def __init__(self, root: Element, path: Path) -> None:
        self.unreadable: list[str] = []
        self.endless: list[str] = []
        self.coupled: list[str] = []
        self.speed: dict[str, float] = {}
        for link in root.findall("link"):
            for kind in ("visual", "collision"):
                for item in link.findall(kind):
                    item.attrib.pop("name", None)
                    if not self._keep(item, path):
                        link.remove(item)
        for joint in root.findall("joint"):
            if (
                joint.get("type") == "floating"
            ):  # MuJoCo knows it at the top only; what floats is found by its legs
                joint.set("type", "fixed")
            limit = joint.find("limit")
            speed = _number(None if limit is None else limit.get("velocity"))
            if speed > 0:
                self.speed[joint.get("name", "")] = speed
        names = [joint.get("name", "") for joint in root.findall("joint")]
        if twice := next((name for name in names if names.count(name) > 1), None):
            # MuJoCo would leave the second one without its name and its limits
            raise ValueError(f"two joints are called {twice!r}")
        self._look_at_joints([joint for joint in root.findall("joint") if joint.get("type") == "revolute"])
        for extra in (*root.findall("mujoco"), *root.findall("gazebo"), *root.findall("transmission")):
            root.remove(extra)
        for texture_of in root.iter("material"):
            for texture in texture_of.findall("texture"):
                texture_of.remove(texture)
        settings = ElementTree.SubElement(root, "mujoco")
        ElementTree.SubElement(
            settings, "compiler", strippath="false", discardvisual="false", fusestatic="false"
        )
        self.text = ElementTree.tostring(root, encoding="unicode")

    def _look_at_joints(self, hinges: list[Element]) -> None:
        """What MuJoCo would take in silence: a range the wrong way round as none, a negative effort as positive."""
        for joint in hinges:
            name, limit = joint.get("name", ""), joint.find("limit")
            given = {} if limit is None else {key: _number(value) for key, value in limit.attrib.items()}
            low, high = given.get("lower", 0.0), given.get("upper", 0.0)
            if low > high:
                raise ValueError(f"joint {name!r}: lower {low:g} is above upper {high:g}")
            for key in ("effort", "velocity"):
                if not given.get(key, 0.0) >= 0.0:
                    raise ValueError(f"joint {name!r}: {key} is {given[key]:g}: it cannot be below 0")
            self.endless += [name] if low == high else []
            self.coupled += [name] if joint.find("mimic") is not None else []

    def _keep(self, item: Element, path: Path) -> bool:
        """Whether MuJoCo can read a visual or collision shape; a mesh gets its absolute path."""
        geometry = item.find("geometry")
        shapes = [] if geometry is None else list(geometry)
        if len(shapes) != 1 or shapes[0].tag not in _SHAPES:
            return False
        mesh = shapes[0]
        if mesh.tag != "mesh":
            return True
        given = mesh.get("filename", "")
        found = find_file(given, path)
        if found is None or found.suffix.lower() not in MESHES:
            self.unreadable.append(given.replace("\\", "/").rsplit("/", 1)[-1])
            return False
        mesh.set("filename", str(found))
        return True


def find_file(given: str, urdf: Path) -> Path | None:
    """The file that a URDF means: `package://PACKAGE/...`, `model://`, `file://`, or beside it.

    A package is looked for above the URDF and in ROS_PACKAGE_PATH and AMENT_PREFIX_PATH.
    """
    scheme, separator, rest = given.partition("://")
    folder = urdf.resolve().parent
    if not separator:
        return _existing(folder / given)
    if scheme == "file":
        return _existing(Path(rest if rest.startswith("/") else f"/{rest}"))
    package, _, inside = rest.partition("/")
    for root in _package_roots(folder):
        if found := _existing(root / package / inside):
            return found
    # a package that was copied under another name: what lies inside it, beside or above the URDF
    for above in (folder, *list(folder.parents)[:4]):
        if found := _existing(above / inside):
            return found
    return None


def _package_roots(folder: Path) -> Iterator[Path]:
    yield from (folder, *folder.parents)
    for variable, below in (("ROS_PACKAGE_PATH", ""), ("AMENT_PREFIX_PATH", "share")):
        for part in filter(None, os.environ.get(variable, "").split(os.pathsep)):
            yield Path(part) / below
            yield Path(part).parent


def _existing(path: Path) -> Path | None:
    try:
        return path.resolve() if path.is_file() else None
    except OSError:
        return None


def _number(text: str | None) -> float:
    try:
        return float(text) if text is not None else 0.0
    except ValueError:
        return 0.0
