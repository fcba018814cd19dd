"""Tests of the performance gate."""
