"""A rotary inverted pendulum (Furuta pendulum): a motor turns an arm, at whose end a rod swings freely."""
