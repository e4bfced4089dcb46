"""Messages to people when something needs attention, and when that is over."""
