"""Running a recorded result again, and comparing the outcome with the record."""
