"""What trials will take: time, memory, money, and where they fit."""
