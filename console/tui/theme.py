"""Colours that people with any colour vision tell apart (Okabe and Ito's set); shapes carry the state anyway."""

from __future__ import annotations

from textual.theme import Theme

HEADWAY = Theme(
    name="headway",
    primary="#56B4E9",
    secondary="#0072B2",
    warning="#E69F00",
    error="#FF7A45",
    success="#4DB89A",
    accent="#56B4E9",
    foreground="#D8DEE4",
    background="#0E1419",
    surface="#0E1419",
    panel="#1C2630",
    dark=True,
)
