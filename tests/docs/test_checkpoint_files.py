"""The page about the files of a checkpoint is what the tables say."""

import transformers
from peft import LoraConfig

from gpt2.checkpoint.adapter_fields import FIELDS
from gpt2.checkpoint.config_fields import CONFIG_FIELDS
from scripts.checkpoint_files import PAGE, TABLES, page


def test_the_page_is_written_from_the_tables():
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m scripts.checkpoint_files"


def test_no_field_stands_twice():
    for name, (_, table) in TABLES.items():
        names = [field.name for field in table]
        assert len(names) == len(set(names)), name


def test_every_field_of_transformers_configuration_is_there():
    known = {field.name for field in CONFIG_FIELDS}
    assert set(transformers.GPT2Config().to_dict()) - known == set()


def test_every_field_of_peft_is_there():
    assert set(LoraConfig().to_dict()) - {field.name for field in FIELDS} == set()
