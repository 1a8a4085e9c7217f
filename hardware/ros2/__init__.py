"""ROS 2 over Cyclone DDS, without ROS: messages, services, parameters, a relay to controllers, a bridge to viewers."""
