"""Run folders: how what was asked and answered is kept, known again and gone on with."""
