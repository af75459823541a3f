"""Noise banks: sounds to add to others, imported from a folder or from MUSAN, or made by merbench; draws of them."""

from merbench.banks.bank import Bank, Drawn, Sound
from merbench.banks.home import banks_home, build_bank, list_banks, open_bank, read_bank, verify_bank
from merbench.banks.importing import Imported, Terms, import_folder
from merbench.banks.musan import import_musan

__all__ = [
    "Bank",
    "Drawn",
    "Imported",
    "Sound",
    "Terms",
    "banks_home",
    "build_bank",
    "import_folder",
    "import_musan",
    "list_banks",
    "open_bank",
    "read_bank",
    "verify_bank",
]
