"""Declarations of a sweep in its `study.lock`: what was planned before trials ran, and what came later."""
