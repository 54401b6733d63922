"""What an attacker would gain on the user's pairs, and what each defense costs there."""
