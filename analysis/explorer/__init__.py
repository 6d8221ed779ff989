"""The losses themselves, drawn and tabled from their code; the only place here with torch."""
