"""Recognises the same sound in two files, whatever their headers, formats, levels, rates and starts."""
