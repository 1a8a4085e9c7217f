"""Small plants to compare methods on: pendulum, cart-pole, Furuta pendulum, quadrotor."""
