"""Learning whom to send a request to, from outcomes, and saying what that is worth."""
