"""A trial offered as an action by a node in rclpy. **Never run: there is no ROS where this is built.**

Written from the documented interfaces of rclpy (Humble and later) and the design article "Actions". Fill in `walk` with
what sets the gains, walks, measures, and stops at once when it is cancelled. Try it with the robot off.

    export RMW_IMPLEMENTATION=rmw_cyclonedds_cpp ROS_DOMAIN_ID=0 ROS_LOCALHOST_ONLY=1
    python rclpy_server.py
"""

from __future__ import annotations

import rclpy
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node
from safebo_interfaces.action import RunTrial


class Trials(Node):
    """Walks one trial at a time."""

    def __init__(self) -> None:
        super().__init__("trials")
        self._busy = False
        self._server = ActionServer(
            self,
            RunTrial,
            "/run_trial",
            execute_callback=self.walk,
            goal_callback=self.judge,
            cancel_callback=lambda goal: CancelResponse.ACCEPT,
            callback_group=ReentrantCallbackGroup(),
        )

    def judge(self, goal: RunTrial.Goal) -> GoalResponse:
        """A second trial beside one that walks is rejected."""
        if self._busy:
            return GoalResponse.REJECT
        self._busy = True
        return GoalResponse.ACCEPT

    def walk(self, handle) -> RunTrial.Result:
        """Here the robot walks; this one counts to ten."""
        gains = dict(zip(handle.request.names, handle.request.values, strict=True))
        result = RunTrial.Result()
        try:
            for step in range(10):
                if handle.is_cancel_requested:
                    handle.canceled()
                    result.message = "cancelled"
                    return result
                handle.publish_feedback(RunTrial.Feedback(time=0.1 * step, message=f"step {step}"))
            result.objective, result.margin_names, result.margins = -gains["kp"], ["tilt"], [0.3]
            handle.succeed()
            return result
        finally:
            self._busy = False


if __name__ == "__main__":
    rclpy.init()
    executor = MultiThreadedExecutor()
    node = Trials()
    executor.add_node(node)
    executor.spin()
