"""Any robot's file, compiled by MuJoCo: what hinders that is mended or left out, and named.

Sensors, tendons, equality constraints, textures, terrain and contact pairs are no part of a quadruped's dynamics here
and are left out. What is read is looked at by `safebo.robots.descriptions.layout`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import mujoco
import numpy as np

from safebo.robots.descriptions.urdf_text import MESHES, UrdfText
from safebo.types import BoolArray, FloatArray

MASSLESS = 1e-6  # kg; a link of less carries nothing
TINY_INERTIA = 1e-9  # kg m^2
_ATTEMPTS = 200
_UNUSED = (
    "sensors",
    "equalities",
    "tendons",
    "skins",
    "flexes",
    "pairs",
    "excludes",
    "texts",
    "tuples",
    "numerics",
    "textures",
)
_AIR = 2.0  # kg/m^3; less pushes no quadruped
_AIR_VISCOSITY = 1e-4  # Pa s
_LONGEST = 300  # characters of a message of MuJoCo's

MUJOCO_ERRORS = (ValueError, TypeError, mujoco.FatalError, mujoco.UnexpectedError)
"""What MuJoCo raises for a file that it cannot use."""

mujoco.set_mju_user_warning(lambda _message: None)


@dataclass(eq=False)
class CompiledFile:
    """A robot's file as MuJoCo compiled it.

    Args:
        path: the file.
        model: `mujoco.MjModel`.
        urdf: whether it is a URDF.
        colliding: which geoms are made to touch something.
        speed: speed limits by joint, rad/s, where the file gives one.
        notes: what was mended or left out, one sentence each.
    """

    path: Path
    model: Any = field(repr=False)
    urdf: bool
    colliding: BoolArray = field(repr=False)
    speed: dict[str, float] = field(repr=False)
    notes: list[str]

    @property
    def joint_names(self) -> list[str]:
        """Names of all joints; one without a name is called after its body."""
        return [self.joint_name(i) for i in range(self.model.njnt)]

    def joint_name(self, joint: int) -> str:
        """Name of one joint."""
        name = self.model.joint(joint).name
        body = int(self.model.jnt_bodyid[joint])
        place = joint - int(self.model.body_jntadr[body])
        return name or f"{self.body_name(body)}/{place}"

    def body_name(self, body: int) -> str:
        """Name of one body; its number where it has none."""
        return self.model.body(body).name or f"body {body}"


class DescriptionError(ValueError):
    """A robot's file cannot be used; the message is a sentence and starts with the file."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"robot {path}: {problem}")
        self.problem = problem

    def __reduce__(self) -> Any:
        return (ValueError, (str(self),))


def read_robot_file(path: Path, visuals: bool = False) -> CompiledFile:
    """Compile an MJCF or URDF file.

    Args:
        path: the file.
        visuals: also the shapes that are only looked at.

    Raises:
        DescriptionError: it cannot be read; the message says why and what would help.
    """
    root = _root(path)
    notes: list[str] = []
    speed: dict[str, float] = {}
    urdf = root.tag == "robot"
    missing: list[str] = []
    prepared = _prepared(root, path, notes) if urdf else None
    try:
        if prepared is not None:
            speed, missing = prepared.speed, prepared.unreadable
            spec = mujoco.MjSpec.from_string(prepared.text)
        else:
            spec = mujoco.MjSpec.from_file(str(path))
    except MUJOCO_ERRORS as error:
        raise DescriptionError(path, _sentence(error)) from None
    notes += _other_forces(spec)
    paired = {name for pair in spec.pairs for name in (pair.geomname1, pair.geomname2)}
    if not urdf:
        speed = _custom_speeds(spec)
    _strip(spec, notes)
    negative = next((b for b in spec.bodies if b.explicitinertial and b.mass < 0.0), None)
    if negative is not None:
        raise DescriptionError(
            path, f"the mass of {negative.name!r} is {negative.mass:g} kg: it has to be above 0"
        )
    endless = next((b for b in spec.bodies if np.isinf([*b.inertia, *b.fullinertia, b.mass]).any()), None)
    if endless is not None:
        raise DescriptionError(path, f"mass or moments of inertia of {endless.name!r} are infinite")
    _mend_inertias(spec, notes)
    if urdf:  # a link without <inertial> has no mass; MuJoCo would take its shapes to be of water
        for geom in spec.geoms:
            geom.mass = 0.0
    if not visuals:
        _drop_visuals(spec, paired)
    model = _compile(spec, path, notes, missing)
    if missing:
        notes.insert(
            0,
            f"left out: meshes that are missing or of a kind that cannot be read (STL, OBJ, MSH can): {few(missing)}",
        )
    names = [model.geom(i).name for i in range(model.ngeom)]
    colliding = ((model.geom_contype | model.geom_conaffinity) != 0) | np.array(
        [bool(name) and name in paired for name in names], dtype=bool
    )
    return CompiledFile(path, model, urdf, colliding, speed, notes)


def _prepared(root: Any, path: Path, notes: list[str]) -> UrdfText:
    try:
        prepared = UrdfText(root, path)
    except ValueError as error:
        raise DescriptionError(path, str(error)) from None
    if prepared.endless:
        notes.append(f"joints without a range turn without end: {few(prepared.endless)}")
    if prepared.coupled:
        notes.append(f"left out: mimic of joints, which move freely: {few(prepared.coupled)}")
    return prepared


def _root(path: Path) -> Any:
    """The file's outermost element, with what is no MJCF or URDF refused."""
    if path.is_dir():
        raise DescriptionError(path, "is a folder; give the MJCF or URDF file in it")
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise DescriptionError(path, f"is not XML: {error}") from None
    except (OSError, UnicodeError, LookupError, ValueError) as error:
        raise DescriptionError(path, f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if path.suffix == ".xacro" or any("xacro" in str(item.tag) for item in root.iter()):
        raise DescriptionError(
            path,
            f"holds xacro commands; run `xacro {path.name} > {path.name.split('.')[0]}.urdf` first and give "
            "the URDF that it writes",
        )
    if root.tag == "mujocoinclude":
        raise DescriptionError(path, "is a part that other files include; give the file that includes it")
    if root.tag not in ("mujoco", "robot"):
        raise DescriptionError(
            path, f"expected <mujoco> (MJCF) or <robot> (URDF) at the start, found <{str(root.tag)[:60]}>"
        )
    return root


def _sentence(error: Exception) -> str:
    """MuJoCo's message in one line of bounded length, printable characters only."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = "; ".join(lines)
    text = re.sub(r"^(XML )?Error:\s*", "", "".join(c if c.isprintable() else "?" for c in text))
    text = text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
    return f"MuJoCo cannot read it: {text or type(error).__name__}"


def _custom_speeds(spec: Any) -> dict[str, float]:
    """Speed limits of an MJCF, which has no attribute for them: a custom number `speed_limit` of 1, 3 or 12 values."""
    values = [
        np.array(numeric.data, dtype=float) for numeric in spec.numerics if numeric.name == "speed_limit"
    ]
    if not values or len(values[0]) not in (1, 3, 12) or not np.all(values[0] > 0):
        return {}
    return {f"#{i}": float(value) for i, value in enumerate(np.tile(values[0], 12 // len(values[0])))}


def _other_forces(spec: Any) -> list[str]:
    """What the file's own simulation has and a walk here has not: it pulls by 9.81 m/s^2, downwards, on every link."""
    notes = []
    held = [body.name or "a body without a name" for body in spec.bodies if body.gravcomp]
    if held:
        notes.append(f"left out: gravcomp, which carries links in the file's simulation: {few(held)}")
    off = bool(spec.option.disableflags & mujoco.mjtDisableBit.mjDSBL_GRAVITY)
    gravity = np.zeros(3) if off else np.array(spec.option.gravity, dtype=float)
    if np.abs(gravity - (0.0, 0.0, -9.81)).max() > 0.02:
        told = " ".join(f"{value:g}" for value in gravity)
        notes.append(f"left out: the file's gravity of {told} m/s^2; walks have 9.81 m/s^2 along -z")
    if spec.option.density > _AIR or spec.option.viscosity > _AIR_VISCOSITY or np.any(spec.option.wind):
        notes.append("left out: wind, and what the file moves in (option density, viscosity)")
    return notes


def _strip(spec: Any, notes: list[str]) -> None:
    """Take out what walking has no use for."""
    spec.compiler.fusestatic = False
    spec.compiler.discardvisual = False
    kinds = [kind for kind in ("equalities", "tendons") if list(getattr(spec, kind))]
    if kinds:
        notes.append(f"left out: its {' and '.join(kinds)}; joints that they couple move freely")
    of_joints = (mujoco.mjtTrn.mjTRN_JOINT, mujoco.mjtTrn.mjTRN_JOINTINPARENT)
    for actuator in list(spec.actuators):
        if actuator.trntype not in of_joints:
            spec.delete(actuator)
    for kind in _UNUSED:
        for item in list(getattr(spec, kind)):
            spec.delete(item)
    for material in spec.materials:
        material.textures = [""] * len(material.textures)
    for geom in list(spec.geoms):
        if geom.type in (mujoco.mjtGeom.mjGEOM_HFIELD, mujoco.mjtGeom.mjGEOM_SDF):
            spec.delete(geom)
    for field_ in list(spec.hfields):
        spec.delete(field_)


def _mend_inertias(spec: Any, notes: list[str]) -> None:
    """Inertias that MuJoCo refuses: none at all, and moments that no body can have."""
    mended = []
    for body in spec.bodies:
        if body.name == "world" or not body.explicitinertial or not np.isfinite(body.mass):
            continue
        tensor = _tensor_of(body)
        if tensor is None:
            continue
        if body.mass <= 0.0 and not tensor.any():
            body.mass = 0.0
            body.explicitinertial = False
            continue
        given, axes = np.linalg.eigh(tensor)
        moments = np.maximum(given, min(TINY_INERTIA, max(1e-14, 1e-6 * float(body.mass))))
        # A moment is at most the sum of the other two: where it is more, those are raised.
        moments[:2] += 0.5 * max(0.0, (1.0 + 1e-9) * moments[2] - moments[0] - moments[1])
        if np.array_equal(moments, given):
            continue
        if np.abs(moments - given).max() > 1e-3 * moments[2] and moments[2] > 10.0 * TINY_INERTIA:
            mended.append(body.name)
        changed = axes @ np.diag(moments) @ axes.T
        body.fullinertia = [changed[i, j] for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))]
    if mended:
        notes.append(
            "moments of inertia that no body can have (negative, or more than the sum of the other two) were raised: "
            + few(mended)
        )


def _tensor_of(body: Any) -> FloatArray | None:
    full = np.array(body.fullinertia, dtype=float)
    if np.isfinite(full).all():
        a, b, c, d, e, f = full
        return np.array([[a, d, e], [d, b, f], [e, f, c]])
    moments = np.array(body.inertia, dtype=float)
    return np.diag(moments) if np.isfinite(moments).all() and (moments <= 0.0).any() else None


def few(names: Iterable[str], most: int = 6) -> str:
    """Names in a row, of many the first ones."""
    names = sorted(set(names))
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _drop_visuals(spec: Any, paired: set[str]) -> None:
    """Leave out shapes that touch nothing, where a link's inertia does not come from them, and unused meshes."""
    if spec.compiler.inertiafromgeom != mujoco.mjtInertiaFromGeom.mjINERTIAFROMGEOM_TRUE:
        for geom in list(spec.geoms):
            seen_only = not (geom.contype or geom.conaffinity) and geom.name not in paired
            if seen_only and geom.parent.explicitinertial:
                spec.delete(geom)
    _drop_unused_meshes(spec)


def _drop_unused_meshes(spec: Any) -> None:
    used = {geom.meshname for geom in spec.geoms if geom.meshname}
    for mesh in list(spec.meshes):
        if mesh.name not in used and _mesh_key(mesh) not in used:
            spec.delete(mesh)


def _mesh_key(mesh: Any) -> str:
    """The name by which geoms know a mesh that has none of its own."""
    return mesh.name or Path(mesh.file.replace("\\", "/")).stem


def _compile(spec: Any, path: Path, notes: list[str], missing: list[str]) -> Any:
    """Compile, and mend what is in the way one by one."""
    for _ in range(_ATTEMPTS):
        try:
            return spec.compile()
        except MUJOCO_ERRORS as error:
            problem = _sentence(error)
            if not _mended(spec, str(error), notes, missing):
                raise DescriptionError(path, problem) from None
    raise DescriptionError(path, "more of it cannot be read than can be left out")


def _mended(spec: Any, problem: str, notes: list[str], missing: list[str]) -> bool:
    """Whether something was changed that may help."""
    compiler = spec.compiler
    if ("A + B >= C" in problem or "balanceinertia" in problem) and not compiler.balanceinertia:
        compiler.balanceinertia = True
        notes.append("some link's principal moments of inertia cannot belong to a body and were evened out")
        return True
    if "mjMINVAL" in problem and compiler.boundmass < MASSLESS:
        compiler.boundmass, compiler.boundinertia = MASSLESS, TINY_INERTIA
        return True
    if "keyframe" in problem and list(spec.keys):
        for key in list(spec.keys):
            spec.delete(key)
        notes.append("left out: its keyframes, which do not fit its joints")
        return True
    mesh = _blamed_mesh(spec, problem)
    if mesh is None:
        return False
    missing.append(Path(mesh.file.replace("\\", "/")).name or mesh.name)
    for geom in list(spec.geoms):
        if geom.meshname and geom.meshname in (mesh.name, _mesh_key(mesh)):
            spec.delete(geom)
    spec.delete(mesh)
    return True


def _blamed_mesh(spec: Any, problem: str) -> Any:
    """The mesh that MuJoCo complains of: by name, by file, or the first that does not compile on its own."""
    meshes = list(spec.meshes)
    named = re.search(r"Element name '([^']*)'", problem)
    for mesh in meshes:
        file = Path(mesh.file.replace("\\", "/")).name
        if named and named.group(1) and named.group(1) in (mesh.name, _mesh_key(mesh)):
            return mesh
        if file and re.search(rf"(^|[/\\'\"]){re.escape(file)}\b", problem):
            return mesh
    for mesh in meshes:
        if mesh.file and Path(mesh.file).suffix.lower() not in MESHES:
            return mesh
    return None
