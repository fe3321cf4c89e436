#!/usr/bin/env python3
"""Calls every function of the header with everything that a pointer must not be, and holds the answer against the
comment of the parameter. What a new function takes must be known here (KNOWN, TEXTS, NUMBERS): it cannot be forgotten.

Each function has a child process, so that a crash or a hang has a name. Environment: LIBRARY_DIR, SIMULATOR.
"""
import ctypes
import json
import os
import pathlib
import random
import re
import select
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIBRARY = pathlib.Path(os.environ.get("LIBRARY_DIR", ROOT / "target/debug")) / "libmyq_exchange_online.so"
SIMULATOR = os.environ.get("SIMULATOR", "/tmp/target-sim/debug/exchange-simulator")
HEADER = pathlib.Path(os.environ.get("HEADER", ROOT / "include/myq_exchange_online.h"))
SEED = int(os.environ.get("SEED", random.randrange(1 << 32)))
SECONDS = 60  # for one function
GARBAGE = 0x6A6A6A6A6A6A6A6A

SCALARS = {"int32_t": ctypes.c_int32, "mxo_status": ctypes.c_int32, "uint32_t": ctypes.c_uint32,
           "int64_t": ctypes.c_int64, "size_t": ctypes.c_size_t}
FUNCTIONS = {"mxo_operation_fn", "mxo_log_fn", "mxo_drop_fn"}
FREES = {"connector": "mxo_connector_close", "events": "mxo_events_close", "operation": "mxo_operation_free",
         "value": "mxo_value_free", "error": "mxo_error_free", "device_code": "mxo_device_code_free",
         "mail": "mxo_mail_free"}
# What is good: by parameter, or by function and parameter where one name means two things.
NUMBERS = {"timeout_ms": 3000, "level": 4, "kind": 0, "min_validity_s": 0, "fallback": 7, "index": 0,
           "mxo_status_name.value": -100}
TEXTS = {"title": "Office", "subject": "Scan", "text": "Hello", "html": "<p>Hello</p>", "address": "a@contoso.example",
         "name": "scan.pdf", "value": "3", "content_type": "application/pdf", "mailbox": "print@contoso.example",
         "filter_json": "{}", "patch_json": '{"title": "Other"}',
         "mxo_explain.text": "AADSTS50034: no such user", "mxo_mail_add_header.name": "X-Test",
         "mxo_connector_open.options_json": '{"proxy": "none"}', "new_key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
         "mxo_check_start.options_json": '{"network_only": true}',
         "mxo_sign_in_start.options_json": '{"if_pending": "join"}'}
BAD_NUMBERS = {"level": [-1, 5, -2**31, 2**31 - 1], "kind": [-1, 4, -2**31, 2**31 - 1]}
# Texts from which a header or a command is built.
ONE_LINE = {"subject", "address", "name", "value", "content_type", "title", "client_id", "tenant_id", "mailbox"}
NEEDS_SIGN_IN = {"mxo_access_token", "mxo_access_token_start", "mxo_xoauth2", "mxo_send", "mxo_send_start"}


class Parameter:
    def __init__(self, kind, name, about):
        self.kind, self.name, self.about = kind, name, about
        handle = re.fullmatch(r"(?:const )?mxo_(\w+) \*", kind)
        out = re.fullmatch(r"mxo_(\w+) \*\*", kind)
        self.noun = handle.group(1) if handle and handle.group(1) in FREES else None
        self.gives = out.group(1) if out and out.group(1) in FREES else None
        self.is_error = kind == "mxo_error **"
        self.is_out = bool(self.gives) or kind in ("char **", "int64_t *")
        self.is_text, self.is_bytes = kind == "const char *", kind == "const void *"
        self.is_function, self.is_data = kind in FUNCTIONS, kind == "void *"
        self.owned_text = kind == "char *"
        known = (self.noun or self.is_out or self.is_text or self.is_bytes or self.is_function or self.is_data
                 or self.owned_text or kind in SCALARS)
        if not known:
            raise SystemExit(f"not ok - null.py does not know the type {kind} of {name}: teach it")
        self.is_pointer = kind not in SCALARS
        self.may_be_null = re.search(r"\bMay be NULL\b(?!,? when)", about) is not None


class Function:
    def __init__(self, returns, name, parameters, about):
        self.returns, self.name, self.about = returns, name, about
        explained = dict(re.findall(r"@param (\w+)\s+(.*?)(?=@param|@return|$)", about, re.S))
        self.parameters = []
        for text in parameters:
            match = re.fullmatch(r"(.*?)(\w+)", text.strip())
            self.parameters.append(Parameter(match.group(1).strip(), match.group(2), explained.get(match.group(2), "")))
        self.tells = returns == "mxo_status" and any(p.is_error for p in self.parameters)


def read_header():
    text = HEADER.read_text()
    constants = {name: int(value) for name, value in re.findall(r"^#define (MXO_\w+) (-?\d+)$", text, re.M)}
    functions = []
    for comment, code in re.findall(r"/\*\*(.*?)\*/\s*(.*?)(?=/\*\*|\Z)", text, re.S):
        found = re.match(r"((?:const )?\w+ \*?)(mxo_\w+)\(([^)]*)\);", code)
        if found:
            about = re.sub(r"\s*\n \* ?\s*", " ", comment)
            parameters = [] if found.group(3) == "void" else re.sub(r"\s+", " ", found.group(3)).split(",")
            functions.append(Function(found.group(1).strip(), found.group(2), parameters, about))
    code = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    missed = set(re.findall(r"\b(mxo_\w+)\(", code)) - {function.name for function in functions}
    if missed or not functions:
        raise SystemExit(f"not ok - null.py cannot read these of the header: {missed}")
    return functions, constants


class Fault(Exception):
    pass


class World:
    """The library with live objects of every kind; one for each child."""

    def __init__(self, functions, constants, simulator, function):
        self.functions = {each.name: each for each in functions}
        self.constants, self.simulator, self.function = constants, simulator, function
        self.library = ctypes.CDLL(str(LIBRARY))
        for each in functions:
            entry = getattr(self.library, each.name)
            entry.restype = {"void": None}.get(each.returns, SCALARS.get(each.returns, ctypes.c_void_p))
            entry.argtypes = [SCALARS.get(parameter.kind, ctypes.c_void_p) for parameter in each.parameters]
        self.library.mxo_string_free.argtypes, self.library.mxo_string_free.restype = [ctypes.c_void_p], None
        self.drops, self.handed = {}, 0
        self.drop = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self.dropped)
        self.changed = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(lambda *_: None)
        self.logged = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int32, ctypes.c_char_p)(lambda *_: None)
        self.checks, self.doing, self.faults = 0, "", []
        self.texts, self.forked = {}, False
        self.random = random.Random(f"{SEED} {function.name}")

    def dropped(self, data):
        self.drops[data] = self.drops.get(data, 0) + 1

    def data(self):
        self.handed += 1
        return 0x1000 + self.handed

    # The simplest way to each kind of object.

    def take(self, name, *arguments, expect=(0,)):
        out, error = ctypes.c_uint64(0), ctypes.c_uint64(0)
        texts = [argument.encode() if isinstance(argument, str) else argument for argument in arguments]
        buffers = [ctypes.c_char_p(text) if isinstance(text, bytes) else text for text in texts]
        buffers = [ctypes.cast(text, ctypes.c_void_p) if isinstance(text, ctypes.c_char_p) else text for text in buffers]
        status = getattr(self.library, name)(*buffers, ctypes.addressof(out), ctypes.addressof(error))
        if status not in expect:
            raise Fault(f"{name} gave {status}: {self.message(error.value)}")
        return out.value

    def message(self, error):
        self.library.mxo_error_message.restype = ctypes.c_void_p
        text = self.library.mxo_error_message(error)
        return ctypes.string_at(text).decode() if text else ""

    def build(self):
        self.handles = {"connector": self.take("mxo_connector_open", '{"proxy": "none"}')}
        connector = self.handles["connector"]
        ready = self.simulator
        text = self.take("mxo_system_add", connector, "Office", ready["client_id"], ready["tenant_id"], ready["settings"])
        system = ctypes.string_at(text).decode()
        self.library.mxo_string_free(text)
        operation = self.take("mxo_sign_in_start", connector, system, None, None, None, None)
        code = self.take("mxo_sign_in_code", connector, system, None, 20000)
        get = self.library
        sign_in = ctypes.string_at(get.mxo_device_code_sign_in_id(code)).decode()
        if self.function.name in NEEDS_SIGN_IN:
            self.approve(ctypes.string_at(get.mxo_device_code_user_code(code)).decode())
            self.take("mxo_operation_wait", operation, 40000)
        value = self.take("mxo_descriptor")
        mail = self.take("mxo_mail_new")
        self.take_plain("mxo_mail_add_recipient", mail, 0, b"a@contoso.example", None)
        self.take_plain("mxo_mail_set_text", mail, b"Hello")
        bad, error = ctypes.c_uint64(0), ctypes.c_uint64(0)
        get.mxo_connector_open(ctypes.cast(b"[]", ctypes.c_void_p), ctypes.addressof(bad), ctypes.addressof(error))
        events = self.take("mxo_events_open", connector, None)
        # So that there is an event to read.
        self.take_plain("mxo_system_update", connector, system.encode(), b'{"title": "Here"}')
        self.handles.update(operation=operation, device_code=code, value=value, mail=mail, error=error.value, events=events)
        self.texts = {**TEXTS, "system_id": system, "sign_in_id": sign_in, "client_id": ready["client_id"],
                      "tenant_id": ready["tenant_id"], "settings_json": ready["settings"],
                      "mxo_mail_attach_file.path": ready["file"], "path": "/kind"}

    def take_plain(self, name, *arguments):
        pointers = [ctypes.cast(argument, ctypes.c_void_p) if isinstance(argument, bytes) else argument
                    for argument in arguments]
        status = getattr(self.library, name)(*pointers, None)
        if status != 0:
            raise Fault(f"{name} gave {status}")

    def approve(self, user_code):
        request = urllib.request.Request(self.simulator["control_url"] + "/approve",
                                         json.dumps({"user_code": user_code}).encode(),
                                         {"Content-Type": "application/json"})
        context = ssl.create_default_context(cafile=self.simulator["ca_file"])
        urllib.request.urlopen(request, context=context, timeout=20).read()

    def fresh(self, noun):
        """A live handle that a call may consume."""
        if noun == "connector":
            return self.take("mxo_connector_open", '{"proxy": "none"}')
        if noun == "operation":
            connector, system = self.handles["connector"], self.texts["system_id"]
            return self.take("mxo_sign_in_start", connector, system, None, None, None, None)
        if noun == "device_code":
            return self.take("mxo_sign_in_code", self.handles["connector"], self.texts["system_id"], None, 20000)
        if noun == "value":
            return self.take("mxo_descriptor")
        if noun == "mail":
            return self.take("mxo_mail_new")
        if noun == "events":
            return self.take("mxo_events_open", self.handles["connector"], None)
        out, error = ctypes.c_uint64(0), ctypes.c_uint64(0)
        text = ctypes.create_string_buffer(b"[]")
        self.library.mxo_connector_open(ctypes.addressof(text), ctypes.addressof(out), ctypes.addressof(error))
        return error.value

    def free(self, noun, handle):
        getattr(self.library, FREES[noun])(handle)

    def is_alive(self, noun, handle):
        """Asks with a function that changes nothing."""
        get, out, error = self.library, ctypes.c_uint64(0), ctypes.c_uint64(0)
        if noun == "connector":
            status = get.mxo_system_list(handle, ctypes.addressof(out), None)
            get.mxo_value_free(out.value)
            return status == 0
        if noun == "events":
            status = get.mxo_events_next(handle, 0, ctypes.addressof(out), None)
            get.mxo_value_free(out.value)
            return status >= 0
        if noun == "mail":
            status = get.mxo_mail_clone(handle, ctypes.addressof(out), ctypes.addressof(error))
            get.mxo_mail_free(out.value)
            return status == 0
        return {"operation": lambda: get.mxo_operation_id(handle) > 0,
                "value": lambda: get.mxo_value_kind(handle, None) != self.constants["MXO_KIND_ABSENT"],
                "error": lambda: get.mxo_error_status(handle) != self.constants["MXO_E_HANDLE"],
                "device_code": lambda: get.mxo_device_code_interval_s(handle) >= 0}[noun]()

    # One call.

    def good(self, parameter, frees):
        name, key = parameter.name, f"{self.function.name}.{parameter.name}"
        if parameter.noun:
            return self.fresh(parameter.noun) if frees else self.handles[parameter.noun]
        if parameter.is_text:
            text = self.texts.get(key, self.texts.get(name))
            if key == "mxo_system_remove.system_id" and not self.forked:
                text = self.another_system()
            if text is None:
                raise Fault(f"null.py does not know what is good for {key}: teach it")
            return text.encode()
        if parameter.is_bytes:
            return b"From: a@contoso.example\r\nTo: b@contoso.example\r\nSubject: x\r\n\r\nHello\r\n"
        if name == "length":
            return next(len(self.good(other, frees)) for other in self.function.parameters if other.is_bytes)
        if parameter.kind in SCALARS:
            number = NUMBERS.get(key, NUMBERS.get(name))
            if number is None:
                raise Fault(f"null.py does not know what is good for {key}: teach it")
            return number
        if parameter.is_function:
            return {"mxo_operation_fn": self.changed, "mxo_log_fn": self.logged, "mxo_drop_fn": self.drop}[parameter.kind]
        if parameter.is_data:
            return self.data()
        if parameter.owned_text:
            return None if self.forked else self.text_of("mxo_system_add", "Other")
        return None

    def text_of(self, name, title):
        """A text that the host must free."""
        texts = [title, self.texts["client_id"], self.texts["tenant_id"], self.texts["settings_json"]]
        return self.take(name, self.handles["connector"], *texts)

    def another_system(self):
        text = self.text_of("mxo_system_add", "To be removed")
        system = ctypes.string_at(text).decode()
        self.library.mxo_string_free(text)
        return system

    def call(self, **instead):
        """Calls the function: good values but for those given. Out-parameters hold garbage before."""
        frees = self.function.name in FREES.values() and not self.forked
        arguments, outs, buffers = [], {}, []
        for parameter in self.function.parameters:
            if parameter.is_out or parameter.is_error:
                if parameter.name in instead and instead[parameter.name] is None:
                    arguments.append(None)
                    continue
                outs[parameter.name] = ctypes.c_uint64(GARBAGE)
                arguments.append(ctypes.addressof(outs[parameter.name]))
                continue
            value = instead[parameter.name] if parameter.name in instead else self.good(parameter, frees)
            if isinstance(value, bytes):
                buffers.append(ctypes.create_string_buffer(value))
                value = ctypes.addressof(buffers[-1])
            elif parameter.is_function and value is not None:
                value = ctypes.cast(value, ctypes.c_void_p).value
            arguments.append(value)
        # A drop without its data, or data without its drop, is not counted.
        data = next((argument for argument, parameter in zip(arguments, self.function.parameters)
                     if parameter.is_data), None)
        drops = any(parameter.name == "drop_user_data" and argument
                    for argument, parameter in zip(arguments, self.function.parameters))
        if data and drops:
            self.drops.setdefault(data, 0)
        elif drops:
            self.drops.setdefault(None, 0)
        result = getattr(self.library, self.function.name)(*arguments)
        return Result(self, result, outs, instead)

    def check(self, true, what):
        self.checks += 1
        if not true and len(self.faults) < 10:
            self.faults.append(f"{self.doing}: {what}")


class Result:
    """What a call gave: the promises that hold for each call are looked at here."""

    def __init__(self, world, value, outs, instead):
        self.value, self.message = value, ""
        function = world.function
        if not function.tells:
            return
        has_result = value in (world.constants["MXO_OK"], world.constants["MXO_PARTIAL"])
        for parameter in function.parameters:
            out = outs.get(parameter.name)
            if out is None:
                continue
            if parameter.is_error:
                # A forked child gets no object: a lock may be held there for ever.
                wanted = value < 0 and value != world.constants["MXO_E_FORKED"]
                world.check((out.value != 0) == wanted, f"status {value} beside *error {out.value:#x}")
                if out.value:
                    world.check(world.library.mxo_error_status(out.value) == value, "another status in the error")
                    self.message = world.message(out.value)
                    world.check(len(self.message) > 10, f"no message with status {value}")
                    world.library.mxo_error_free(out.value)
                continue
            world.check(out.value != GARBAGE, f"status {value} left garbage in *{parameter.name}")
            if out.value == GARBAGE:
                continue
            world.check(bool(out.value) == has_result or parameter.kind == "int64_t *",
                        f"status {value} beside *{parameter.name} {out.value:#x}")
            if parameter.gives:
                world.free(parameter.gives, out.value)
            elif parameter.kind == "char **":
                world.library.mxo_string_free(out.value)


def check_function(world):
    function, constants = world.function, world.constants
    argument, handle = constants["MXO_E_ARGUMENT"], constants["MXO_E_HANDLE"]
    frees = function.name in FREES.values()

    check_plain(world)
    world.doing = "a forked child"
    check_forked(world)
    world.doing = "good values"
    base = world.call().value
    if function.tells:
        world.check(base >= 0, f"gave {base} with good values")

    def same(value):
        """Whether a call ended as with good values. A wait may also have nothing left to tell."""
        waits = any(parameter.name == "timeout_ms" for parameter in function.parameters)
        return value == base or (waits and value == constants["MXO_TIMEOUT"])

    for parameter in function.parameters:
        name = parameter.name
        if parameter.is_pointer:
            world.doing = f"{name} = NULL"
            check_null(world, parameter, base, same)
        if parameter.noun:
            check_bad_handles(world, parameter, base, handle)
        if parameter.is_text:
            for what, text in [("over-long", b"a" * (17 << 20)), ("not UTF-8", b"a\xff\xfe"), ("cut UTF-8", b"a\xc3"),
                               ("surrogate", b"\xed\xa0\x80"), ("over-long by far less", b"a" * (300 << 10))]:
                if what.startswith("over-long by") and name in ("text", "html"):
                    continue
                world.doing = f"{name}: {what}"
                refused(world, parameter, {name: text}, argument)
            if name in ONE_LINE and function.tells:
                for end in (b"\r\n", b"\n", b"\r"):
                    world.doing = f"{name}: a line end in it"
                    refused(world, parameter, {name: b"a@b.example" + end + b"c"}, argument)
            if name.endswith("_json"):
                for text in (b"", b"nonsense", b"[]", b"null", b"7", b"{", b"[" * 100_000, b'{"a":' * 40_000):
                    world.doing = f"{name} = {text[:12]!r}"
                    refused(world, parameter, {name: text}, argument)
                world.doing = f"{name}: an unknown member"
                result = refused(world, parameter, {name: b'{"colour": 1}'}, argument)
                world.check("colour" in result.message, f"the member is not named: {result.message}")
        if parameter.is_bytes:
            world.doing = f"{name}: a length beyond all memory"
            result = world.call(length=(1 << 63) - 1)
            world.check(result.value in (argument, constants["MXO_E_MESSAGE_TOO_BIG"]), f"gave {result.value}")
        for number in BAD_NUMBERS.get(name, []) if parameter.kind in SCALARS else []:
            world.doing = f"{name} = {number}"
            refused(world, parameter, {name: number}, argument)

    if frees:
        noun = function.parameters[0].noun
        world.doing = "freeing twice"
        old = world.fresh(noun)
        world.free(noun, old)
        world.free(noun, old)
        world.doing = "a stale handle whose slot lives again"
        others = [world.fresh(noun) for _ in range(20)]
        world.free(noun, old)
        world.check(all(world.is_alive(noun, other) for other in others), "freed something else")
        world.check(not world.is_alive(noun, old), "a stale handle lives")
        for other in others:
            world.free(noun, other)


def refused(world, parameter, instead, status):
    """A bad text or number: refused with the parameter's name, or, by a getter, as if nothing were there."""
    result = world.call(**instead)
    if world.function.tells:
        world.check(result.value == status, f"gave {result.value} instead of {status}: {result.message}")
        world.check(f'"{parameter.name}"' in result.message, f"the message does not name it: {result.message}")
        without = world.call(**instead, error=None)
        world.check(without.value == status, f"gave {without.value} when error is NULL too")
    else:
        world.check(result.value == nothing(world), f"gave {result.value}")
    return result


def nothing(world):
    """What a getter gives when there is nothing."""
    return nothing_of(world, world.function.parameters[0])


def nothing_of(world, parameter):
    found = re.search(r"May be NULL: gives (NULL|`fallback`|-?\d+|MXO_\w+)", parameter.about)
    if not found:
        raise Fault(f"the comment of {parameter.name} does not say what NULL gives")
    word = found.group(1)
    if word == "`fallback`":
        return NUMBERS["fallback"]
    return None if word == "NULL" else world.constants[word] if word in world.constants else int(word)


def check_null(world, parameter, base, same):
    function, constants, name = world.function, world.constants, parameter.name
    if parameter.is_error:
        world.check(parameter.may_be_null, "the comment must say that it may be NULL")
        return world.check(same(world.call(error=None).value), "another status when error is NULL")
    result = world.call(**{name: None})
    if not function.tells:
        if parameter.noun and function.returns != "void":
            return world.check(result.value == nothing(world), f"gave {result.value}")
        if parameter.noun or parameter.owned_text:
            return world.check("then nothing is done" in parameter.about, "the comment must say that nothing is done")
        return world.check(parameter.may_be_null, "a getter's other pointers may be NULL")
    if parameter.noun:
        world.check(not parameter.may_be_null, "the comment says that it may be NULL")
        world.check(result.value == constants["MXO_E_HANDLE"], f"gave {result.value} instead of MXO_E_HANDLE")
        return world.check(f'"{name}"' in result.message, f"the message does not name it: {result.message}")
    if parameter.may_be_null:
        return world.check(same(result.value), f"gave {result.value} though it may be NULL: {result.message}")
    world.check(result.value == constants["MXO_E_ARGUMENT"], f"gave {result.value} instead of MXO_E_ARGUMENT")
    world.check(f'"{name}"' in result.message, f"the message does not name it: {result.message}")
    if parameter.is_bytes and "May be NULL when `length` is 0" in parameter.about:
        empty = world.call(**{name: None, "length": 0})
        world.check(empty.value in (0, constants["MXO_E_ARGUMENT"]), f"gave {empty.value} for NULL of length 0")
        world.check("it is NULL" not in empty.message, f"refused NULL of length 0: {empty.message}")


def check_plain(world):
    """What the few functions without a handle say."""
    name, constants, get = world.function.name, world.constants, world.library
    world.doing = "its value"
    if name == "mxo_abi_version":
        wanted = constants["MXO_ABI_MAJOR"] << 16 | constants["MXO_ABI_MINOR"]
        world.check(get.mxo_abi_version() == wanted, "the header and the library have different versions")
    if name == "mxo_version":
        wanted = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M).group(1)
        found = ctypes.string_at(get.mxo_version()).decode()
        world.check(found == wanted, f"{found} instead of {wanted}")
    if name == "mxo_status_name":
        listed = [line.split() for line in (ROOT / "tests/abi/status.txt").read_text().splitlines()]
        for number, wanted in listed:
            found = get.mxo_status_name(int(number))
            world.check(found and ctypes.string_at(found).decode() == wanted, f"{number} is not {wanted}")
        for number in (5, -1, -99, -899, 2**31 - 1, -2**31):
            world.check(get.mxo_status_name(number) is None, f"{number} has a name")


def check_forked(world):
    """A forked child gets MXO_E_FORKED at once, whatever the parent's threads hold; the parent notices nothing."""
    function = world.function
    before = world.checks
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        world.forked, world.faults, world.drops = True, [], {}
        if function.tells:
            value = world.call().value
            world.check(value == world.constants["MXO_E_FORKED"], f"gave {value}")
            wrong = {data: count for data, count in world.drops.items() if count != 1}
            world.check(not wrong, f"drop_user_data did not run once: {wrong}")
        elif function.returns == "void":
            world.call()
        elif any(parameter.noun for parameter in function.parameters):
            value = world.call().value
            world.check(value == nothing(world), f"gave {value} instead of what NULL gives")
        os.write(writer, json.dumps([world.faults, world.checks - before]).encode())
        os._exit(0)
    os.close(writer)
    said = os.read(reader, 65536)
    os.close(reader)
    _, status = os.waitpid(child, 0)
    if status != 0:
        world.check(False, f"it ended by {signal.Signals(status).name if os.WIFSIGNALED(status) else status}")
    else:
        faults, checks = json.loads(said)
        world.faults += faults
        world.checks += checks
    dead = [noun for noun, value in world.handles.items() if not world.is_alive(noun, value)]
    world.check(not dead, f"the parent lost {dead}")


def check_bad_handles(world, parameter, base, handle):
    function, noun = world.function, parameter.noun
    stale = world.fresh(noun)
    world.free(noun, stale)
    memory = ctypes.create_string_buffer(64)
    bad = [("stale", stale), ("0x1", 1), ("all ones", (1 << 64) - 1), ("32 ones", (1 << 32) - 1), ("memory", ctypes.addressof(memory)),
           ("a code address", ctypes.cast(world.library.mxo_version, ctypes.c_void_p).value)]
    bad += [("random", world.random.getrandbits(64)) for _ in range(20)]
    # The slots of live objects with other generations.
    bad += [("another generation", world.handles[noun] ^ (1 << bit)) for bit in range(32, 64)]
    bad += [(f"a live {other}", world.handles[other]) for other in FREES if other != noun]
    for what, value in bad:
        world.doing = f"{parameter.name} = {what} {value:#x}"
        result = world.call(**{parameter.name: value})
        if function.tells:
            world.check(result.value == handle, f"gave {result.value} instead of MXO_E_HANDLE")
            world.check(f'"{parameter.name}"' in result.message, f"the message does not name it: {result.message}")
        elif function.returns != "void":
            world.check(result.value == nothing_of(world, parameter), f"gave {result.value}")
    world.doing = f"{parameter.name}: the others after wrong handles"
    dead = [other for other, value in world.handles.items() if not world.is_alive(other, value)]
    world.check(not dead, f"{dead} did not survive")


def in_child(pipe, functions, constants, simulator, function):
    """One function in a process of its own; the last line that it writes tells where it was."""
    def say(**what):
        os.write(pipe, (json.dumps(what) + "\n").encode())

    signal.alarm(SECONDS)
    world = World(functions, constants, simulator, function)
    original = world.call

    def told(**instead):
        say(doing=world.doing)
        return original(**instead)
    world.call = told
    world.doing = "the objects for it"
    say(doing=world.doing)
    faults = world.faults
    try:
        world.build()
        check_function(world)
    except Fault as fault:
        faults.append(f"{world.doing}: {fault}")
    for noun, value in reversed(list(getattr(world, "handles", {}).items())):
        world.free(noun, value)
    until = time.monotonic() + 5
    while any(count != 1 for data, count in world.drops.items() if data) and time.monotonic() < until:
        time.sleep(0.01)
    wrong = {data: count for data, count in world.drops.items() if data and count != 1}
    if wrong:
        faults.append(f"drop_user_data ran another number of times than once: {wrong}")
    say(faults=faults, checks=world.checks)
    # Without Python's own end: callbacks of ctypes may still be wanted.
    os._exit(0)


def start_child(*arguments):
    reader, writer = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            in_child(writer, *arguments)
        except BaseException as error:  # Whatever it is, the parent must hear of it.
            os.write(writer, (json.dumps({"doing": f"null.py itself: {type(error).__name__}: {error}"}) + "\n").encode())
        os._exit(1)
    os.close(writer)
    return child, reader


def main():
    functions, constants = read_header()
    wanted = [function for function in functions if not sys.argv[1:] or function.name in sys.argv[1:]]
    passed = failed = 0
    folder = tempfile.TemporaryDirectory()
    simulator = subprocess.Popen([SIMULATOR, "--directory", folder.name], stdout=subprocess.DEVNULL)
    try:
        ready = pathlib.Path(folder.name) / "ready.json"
        for _ in range(200):
            if ready.exists():
                break
            time.sleep(0.05)
        told = json.loads(ready.read_text())
        told["settings"] = pathlib.Path(told["settings_file"]).read_text()
        file = pathlib.Path(folder.name) / "scan.pdf"
        file.write_bytes(b"%PDF-1.7")
        told["file"] = str(file)
        context = ssl.create_default_context(cafile=told["ca_file"])
        quick = urllib.request.Request(told["control_url"] + "/set", b'{"interval_s": 1}', {"Content-Type": "application/json"})
        urllib.request.urlopen(quick, context=context, timeout=20).read()

        running, waiting = {}, list(wanted)
        while waiting or running:
            while waiting and len(running) < 4:
                function = waiting.pop(0)
                child, reader = start_child(functions, constants, told, function)
                running[reader] = (child, function, bytearray())
            for reader in select.select(list(running), [], [])[0]:
                child, function, said = running[reader]
                part = os.read(reader, 65536)
                said += part
                if part:
                    continue
                os.close(reader)
                del running[reader]
                _, status = os.waitpid(child, 0)
                lines = [json.loads(line) for line in said.decode().splitlines()] or [{"doing": "its start"}]
                last = lines[-1]
                if "faults" in last and status == 0:
                    faults, passed = last["faults"], passed + last["checks"]
                else:
                    dead = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"exit {status >> 8}"
                    faults = [f"the process ended by {dead} at: {last.get('doing')}"]
                for fault in faults:
                    failed += 1
                    print(f"not ok - {function.name}({fault})")
                if not faults:
                    print(f"ok - {function.name} ({last['checks']} checks)")
    finally:
        simulator.terminate()
        simulator.wait()
    print(f"# seed {SEED}")
    print(f"abi null: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
