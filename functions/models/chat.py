"""SmolLM2 on llama.cpp, inside this process.

Called by `server`, from one thread. A process can hold one `Chat` at most (llama.cpp keeps its state in
globals), and loading one takes the handlers of SIGINT and SIGTERM: the caller puts its own back.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from ...errors import MissingExtra
from .protocol import Json, RequestError, Shape
from .weights import CHAT, paths

CONTEXT = 4096

# Its threads wait for each other at every step. With one on every core, any other work on the machine
# (the run's own, to begin with) stalls them all: measured 1 token/s where one thread less gives 15.
THREADS = max(1, min(4, (os.cpu_count() or 1) - 1))

# The model's own template puts a system message before every chat without one. With it the small model
# answers worse ("What is the capital of France?" gets a rhyme), and every prompt is 21 tokens longer.
_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


class Chat:
    """The loaded model. `generate` hands each object of the answer to `emit`, which says True to stop."""

    def __init__(self, private_socket: Path) -> None:
        weights = paths(CHAT)[".gguf"]
        try:
            import xllamacpp
        except ImportError as error:
            raise MissingExtra("xllamacpp", "ai", f"the embedded model '{CHAT.name}'") from error
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(weights)
        parameters.chat_template = _TEMPLATE
        parameters.n_ctx = CONTEXT
        parameters.n_parallel = 1
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = THREADS
        parameters.n_ubatch = 64  # as fast as the default here, and less memory
        parameters.cache_ram_mib = 0
        parameters.verbosity = 2  # warnings; never the text of a prompt
        # llama.cpp insists on a listener. It gets a socket that nobody can reach, never a port.
        parameters.ui = False
        parameters.api_keys = [secrets.token_hex(16)]
        private_socket.unlink(missing_ok=True)  # of a process that was killed while it loaded
        parameters.hostnames = [str(private_socket)]
        self._server = xllamacpp.Server(parameters)
        private_socket.unlink(missing_ok=True)

    def generate(self, job: Json, shape: Shape, emit: Callable[[Json], bool]) -> None:
        handle = self._server.handle_chat_completions if shape == "chat" else self._server.handle_completions
        try:
            handle(job, emit)
        except ValueError as error:  # how llama.cpp refuses a request it cannot read
            raise RequestError(400, str(error)) from error
