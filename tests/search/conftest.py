import pytest

pytest.register_assert_rewrite("phylon.search.testing")
