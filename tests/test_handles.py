import gc

import attrs

from bulkverify.service.known import Handles


class Handle:
    """What somebody holds."""


@attrs.define(eq=False)
class Holder:
    job: Handle


def test_a_handle_is_found_for_as_long_as_somebody_has_it() -> None:
    handles: Handles[Handle] = Handles()
    handle = Handle()
    handles.add("a", handle)
    assert handles.get("a") is handle
    assert handles.get("b") is None
    del handle
    gc.collect()
    assert handles.get("a") is None


def test_a_handle_that_is_held_stays() -> None:
    handles: Handles[Handle] = Handles()
    handles.add("a", Handle())
    gc.collect()
    assert handles.get("a") is None
    holder = Holder(Handle())
    handles.add("a", holder.job)
    handles.hold("a", holder)
    assert handles.held == 1
    assert handles.holders() == [holder]
    assert handles.holder("a") is holder
    assert handles.get("a") is holder.job


def test_a_handle_that_was_released_is_found_while_somebody_else_has_it() -> None:
    handles: Handles[Handle] = Handles()
    holder = Holder(Handle())
    handles.hold("a", holder)
    handles.release("a")
    assert handles.held == 0
    assert handles.holder("a") is None
    assert handles.get("a") is holder.job
    del holder
    gc.collect()
    assert handles.get("a") is None
