# ruff: noqa: E501 (statements of databases)
"""Applications in the shapes of LangStream's examples, written anew: which agents, topics, gateways,
resources and assets each has. `test_shapes.py` plans them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Part = dict[str, Any]

OPENAI = {
    "type": "open-ai-configuration",
    "name": "OpenAI",
    "configuration": {
        "access-key": "${secrets.open-ai.access-key}",
        "url": "${secrets.open-ai.url}",
        "provider": "${secrets.open-ai.provider}",
    },
}


def _service(kind: str, name: str, **configuration: Any) -> Part:
    return {"type": kind, "name": name, "configuration": configuration}


HUGGING_FACE = _service(
    "hugging-face-configuration", "HF", **{"provider": "api", "access-key": "${secrets.hugging-face.key}"}
)
HUGGING_FACE_LOCAL = _service("hugging-face-configuration", "HF", provider="local")
VERTEX = _service(
    "vertex-configuration",
    "Vertex",
    url="${secrets.vertex.url}",
    region="${secrets.vertex.region}",
    project="${secrets.vertex.project}",
    token="${secrets.vertex.token}",
)
BEDROCK = _service(
    "bedrock-configuration",
    "Bedrock",
    **{"access-key": "${secrets.aws.key}", "secret-key": "${secrets.aws.secret}", "region": "us-west-2"},
)
OLLAMA = _service("ollama-configuration", "Ollama", url="${secrets.ollama.url}")
JDBC = _service(
    "datasource",
    "Db",
    service="jdbc",
    driverClass="herddb.jdbc.Driver",
    url="${secrets.db.url}",
    user="${secrets.db.user}",
    password="${secrets.db.password}",
)
POSTGRES = _service(
    "datasource", "Db", service="jdbc", driverClass="org.postgresql.Driver", url="${secrets.db.url}"
)


def _astra(kind: str, name: str = "Db") -> Part:
    return _service(
        kind,
        name,
        service="astra",
        clientId="${secrets.astra.id}",
        secret="${secrets.astra.secret}",
        token="${secrets.astra.token}",
        database="${secrets.astra.database}",
    )


ASTRA, ASTRA_VECTORS = _astra("datasource"), _astra("vector-database", "Vectors")
ASTRA_API = _service(
    "datasource",
    "Db",
    service="astra-vector-db",
    token="${secrets.astra.token}",
    endpoint="${secrets.astra.endpoint}",
)
CASSANDRA = _service(
    "datasource",
    "Db",
    **{"service": "cassandra", "contact-points": "cassandra", "loadBalancing-localDc": "dc1", "port": 9042},
)
_OPENSEARCH: Part = {
    "service": "opensearch",
    "host": "${secrets.search.host}",
    "port": "9200",
    "https": "true",
}
OPENSEARCH = _service("vector-database", "Db", **_OPENSEARCH, **{"index-name": "documents"})
OPENSEARCH_WITHOUT_INDEX = _service("vector-database", "Db", **_OPENSEARCH)
PINECONE = _service(
    "vector-database",
    "Db",
    **{
        "service": "pinecone",
        "api-key": "${secrets.pinecone.key}",
        "environment": "${secrets.pinecone.environment}",
        "project-name": "a-project",
        "index-name": "an-index",
        "server-side-timeout-sec": 10,
    },
)
MILVUS = _service(
    "datasource",
    "Db",
    **{
        "service": "milvus",
        "username": "${secrets.milvus.user}",
        "password": "${secrets.milvus.password}",
        "host": "${secrets.milvus.host}",
        "port": "${secrets.milvus.port}",
        "write-mode": "upsert",
    },
)
SOLR = _service(
    "vector-database",
    "Db",
    **{"service": "solr", "host": "${secrets.solr.host}", "port": 8983, "collection-name": "documents"},
)


def agent(kind: str, configuration: Part | None = None, **more: Any) -> Part:
    return {
        "type": kind,
        "name": f"the {kind}",
        **({"configuration": configuration} if configuration else {}),
        **more,
    }


# --- agents as the examples configure them -------------------------------------------------------------

DTJ = agent("document-to-json", {"text-field": "question"})
TEXTS = [agent("text-extractor"), agent("text-normaliser", {"make-lowercase": "true", "trim-spaces": "true"})]
LANGUAGE = agent("language-detector", {"allowedLanguages": ["en", "fr"], "property": "language"})
SPLIT = agent(
    "text-splitter",
    {
        "splitter_type": "RecursiveCharacterTextSplitter",
        "chunk_size": 400,
        "separators": ["\n\n", "\n", " ", ""],
        "keep_separator": "false",
        "chunk_overlap": 100,
        "length_function": "cl100k_base",
    },
)
FIELDS = agent(
    "compute",
    {
        "fields": [
            {"name": "value.filename", "expression": "properties.url", "type": "STRING"},
            {"name": "value.chunk_id", "expression": "properties.chunk_id", "type": "STRING"},
        ]
    },
)
DROP = agent("drop-fields", {"fields": ["question_embeddings", "related"]})
LOG = agent("log-event", {"message": "{{{value.question}}}"})


def embed(source: str = "value.text", target: str = "value.embeddings", **more: Any) -> Part:
    configuration = {"text": f"{{{{% {source} }}}}", "embeddings-field": target, "flush-interval": 0, **more}
    return agent("compute-ai-embeddings", {"model": "${secrets.open-ai.embeddings-model}", **configuration})


QUESTION_VECTOR = embed("value.question", "value.question_embeddings")


def chat(stream: str | None = None, **more: Any) -> Part:
    streaming: Part = (
        {"stream-to-topic": stream, "stream-response-completion-field": "value"} if stream else {}
    )
    configuration = {
        "model": "${secrets.open-ai.chat-completions-model}",
        "completion-field": "value.answer",
        "log-field": "value.prompt",
        "min-chunks-per-message": 20,
        "messages": [
            {"role": "system", "content": "{{# value.related}}{{% text}}{{/ value.related}}"},
            {"role": "user", "content": "{{% value.question}}"},
        ],
        **streaming,
        **more,
    }
    return agent("ai-chat-completions", configuration)


def text(**more: Any) -> Part:
    configuration = {
        "model": "a-model",
        "prompt": ["{{% value.question}}"],
        "completion-field": "value.answer",
    }
    return agent("ai-text-completions", {**configuration, **more})


def lookup(kind: str, datasource: str, statement: str, **more: Any) -> Part:
    fields = more.pop("fields", ["value.question_embeddings"])
    output = more.pop("output", "value.related")
    return agent(
        kind, {"datasource": datasource, "query": statement, "fields": fields, "output-field": output, **more}
    )


RE_RANK = agent(
    "re-rank",
    {
        "max": 5,
        "field": "value.related",
        "query-text": "value.question",
        "query-embeddings": "value.question_embeddings",
        "output-field": "value.related",
        "text-field": "record.text",
        "embeddings-field": "record.embeddings_vector",
        "algorithm": "MMR",
        "lambda": 0.5,
        "k1": 1.2,
        "b": 0.75,
    },
)
SQL = "SELECT text, embeddings_vector FROM documents ORDER BY cosine_similarity(embeddings_vector, CAST(? AS FLOAT ARRAY)) DESC LIMIT 20"
CQL = "SELECT text FROM docs.documents ORDER BY vector ANN OF ? LIMIT 20"
DELETE_OLD = agent(
    "query",
    {
        "datasource": "Db",
        "when": "fn:toInt(properties.text_num_chunks) == (fn:toInt(properties.chunk_id) + 1)",
        "mode": "execute",
        "query": "DELETE FROM documents WHERE filename = ? AND chunk_id > ?",
        "output-field": "value.deleted",
        "fields": ["value.filename", "fn:toInt(value.chunk_id)"],
    },
)


def crawler(**more: Any) -> Part:
    configuration = {
        "seed-urls": ["https://docs.example.com/"],
        "allowed-domains": ["https://docs.example.com"],
        "forbidden-paths": [],
        "min-time-between-requests": 500,
        "reindex-interval-seconds": 3600,
        "max-error-count": 5,
        "max-urls": 1000,
        "max-depth": 50,
        "handle-robots-file": "true",
        "user-agent": "",
        "scan-html-documents": "true",
        "http-timeout": 10000,
        "handle-cookies": "true",
        "max-unflushed-pages": 100,
        "bucketName": "${secrets.s3.bucket-name}",
        "endpoint": "${secrets.s3.endpoint}",
        "access-key": "${secrets.s3.access-key}",
        "secret-key": "${secrets.s3.secret}",
        "region": "${secrets.s3.region}",
    }
    return agent("webcrawler-source", {**configuration, **more}, resources={"size": 2})


def ingest(source: Part, *rest: Part, language: bool = True) -> list[Part]:
    detector = [LANGUAGE] if language else []
    prepared = [DTJ, FIELDS, embed(), *rest]
    return [source, *TEXTS, *detector, SPLIT, *prepared]


def rows(name: str, *fields: tuple[str, str], keys: int = 1, **more: Any) -> Part:
    listed = [
        {"name": column, "expression": expression, "primary-key": number < keys}
        for number, (column, expression) in enumerate(fields)
    ]
    return agent("vector-db-sink", {"datasource": name, "table-name": "documents", "fields": listed, **more})


COLUMNS = (("filename", "value.filename"), ("chunk_id", "value.chunk_id"), ("text", "value.text"))
JDBC_SINK = rows("Db", *COLUMNS, keys=2)
ASTRA_SINK = agent(
    "vector-db-sink",
    {
        "datasource": "Db",
        "table-name": "documents",
        "keyspace": "docs",
        "mapping": "filename=value.filename, chunk_id=value.chunk_id, text=value.text",
    },
)


def named(sink: str, *fields: tuple[str, str], **more: Any) -> Part:
    """A sink with plain fields."""
    listed = [{"name": name, "expression": expression} for name, expression in fields]
    return agent("vector-db-sink", {"datasource": sink, "fields": listed, **more})


def asset(kind: str, name: str, datasource: str = "Db", **config: Any) -> Part:
    return {
        "name": name,
        "asset-type": kind,
        "creation-mode": "create-if-not-exists",
        "config": {"datasource": datasource, **config},
    }


def table(kind: str = "jdbc-table", datasource: str = "Db", **more: Any) -> Part:
    statements = {"table-name": "documents", "create-statements": ["CREATE TABLE documents (id int)"]}
    return asset(kind, "documents-table", datasource, **statements, **more)


KEYSPACE = asset("astra-keyspace", "docs-keyspace", keyspace="docs")
ASTRA_TABLE = table("cassandra-table", keyspace="docs")

# --- gateways ------------------------------------------------------------------------------------------

SESSION = {"key": "langstream-client-session-id", "valueFromParameters": "sessionId"}


def produce(topic: str, name: str = "user-input", **more: Any) -> Part:
    return {
        "id": name,
        "type": "produce",
        "topic": topic,
        "parameters": ["sessionId"],
        "produceOptions": {"headers": [SESSION]},
        **more,
    }


def consume(topic: str, name: str = "bot-output", **more: Any) -> Part:
    return {
        "id": name,
        "type": "consume",
        "topic": topic,
        "parameters": ["sessionId"],
        "consumeOptions": {"filters": {"headers": [SESSION]}},
        **more,
    }


def conversation(questions: str, answers: str) -> Part:
    options = {"questions-topic": questions, "answers-topic": answers, "headers": [SESSION]}
    return {"id": "chat", "type": "chat", "parameters": ["sessionId"], "chat-options": options}


def debug(topic: str = "log") -> Part:
    return {"id": "llm-debug", "type": "consume", "topic": topic}


def signed_in(provider: str) -> Part:
    configuration = {"clientId": "${secrets.sign-in.client-id}"}
    if provider == "github":
        configuration["clientSecret"] = "${secrets.sign-in.client-secret}"
    return {"authentication": {"provider": provider, "configuration": configuration}}


# --- applications --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pipe:
    """One pipeline file; `input` and `output` are those of its first and last agent."""

    agents: Sequence[Part]
    input: str | None = None
    output: str | None = None
    assets: Sequence[Part] = ()
    errors: str | None = None

    def written(self, topics: Sequence[Part]) -> Part:
        agents = [dict(one) for one in self.agents]
        if self.input:
            agents[0]["input"] = self.input
        if self.output:
            agents[-1]["output"] = self.output
        policy = {"errors": {"on-failure": self.errors}} if self.errors else {}
        return {**policy, "topics": topics, "assets": list(self.assets), "pipeline": agents}


@dataclass(frozen=True)
class App:
    """An application, and how many units its plan has."""

    pipes: Sequence[Pipe]
    units: int
    topics: Sequence[str] = ()
    resources: Sequence[Part] = ()
    gateways: Sequence[Part] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    dependencies: Sequence[Part] = ()
    deleted: bool = False

    def files(self) -> dict[str, Part]:
        mode = {"deletion-mode": "delete"} if self.deleted else {}
        topics = [{"name": name, "creation-mode": "create-if-not-exists", **mode} for name in self.topics]
        written = {
            f"pipeline-{number}.yaml": pipe.written(topics if number == 1 else [])
            for number, pipe in enumerate(self.pipes, 1)
        }
        configuration: Part = {"resources": list(self.resources)}
        if self.defaults:
            configuration["defaults"] = {"globals": dict(self.defaults)}
        if self.dependencies:
            configuration["dependencies"] = list(self.dependencies)
        written["configuration.yaml"] = {"configuration": configuration}
        if self.gateways:
            written["gateways.yaml"] = {"gateways": list(self.gateways)}
        return written


def jar(name: str) -> Part:
    return {
        "name": name,
        "url": f"https://repo.example.com/{name}.jar",
        "sha512sum": "0" * 128,
        "type": "java-library",
    }


def questions(retrieval: Part, *before_chat: Part, answers: str = "answers", log: str = "log") -> Pipe:
    """The chain of questions and answers."""
    return Pipe(
        [DTJ, QUESTION_VECTOR, retrieval, *before_chat, chat(answers), DROP], input="questions", output=log
    )


CHAT_TOPICS = ("questions", "answers", "log")
PAIR = (produce("questions"), consume("answers"))
TALK = (*PAIR, debug())
PYTHON = {"className": "example.Exclamation"}
JDBC_RETRIEVAL = lookup("query-vector-db", "Db", SQL)
HERDDB = (jar("herddb-jdbc"),)
IN_OUT = ("input", "output")

APPLICATIONS: dict[str, App] = {
    "astradb-sink": App(
        [Pipe([ASTRA_SINK], input="input", assets=[KEYSPACE, ASTRA_TABLE])],
        1,
        ["input"],
        [_astra("vector-database")],
        [produce("input")],
    ),
    "azure-document-ingestion": App(
        [
            Pipe(
                ingest(
                    agent(
                        "azure-blob-storage-source",
                        {
                            "container": "${secrets.azure.container}",
                            "endpoint": "${secrets.azure.endpoint}",
                            "sas-token": "${secrets.azure.sas-token}",
                            "storage-account-name": "${secrets.azure.name}",
                            "storage-account-key": "${secrets.azure.key}",
                            "storage-account-connection-string": "${secrets.azure.connection}",
                        },
                    ),
                    ASTRA_SINK,
                    language=False,
                ),
                assets=[KEYSPACE, ASTRA_TABLE],
                errors="skip",
            ),
            Pipe(
                [
                    agent(
                        "python-processor",
                        {"className": "langchain_chat.LangChainChat", "key": "${secrets.open-ai.access-key}"},
                    )
                ],
                input="questions",
                output="answers",
                errors="skip",
            ),
        ],
        3,
        CHAT_TOPICS,
        [_astra("vector-database"), _astra("datasource", "Chat"), OPENAI],
        PAIR,
    ),
    "bedrock-text-completions": App(
        [
            Pipe(
                [
                    DTJ,
                    text(
                        model="ai21.j2-mid-v1",
                        options={
                            "request-parameters": {"temperature": 0.5, "maxTokens": 300},
                            "response-completions-expression": "completions[0].data.text",
                        },
                    ),
                    agent(
                        "compute",
                        {"fields": [{"name": "value", "expression": "fn:toJson(value)", "type": "STRING"}]},
                    ),
                ],
                input="questions",
                output="answers",
            )
        ],
        1,
        ["questions", "answers"],
        [BEDROCK],
        [conversation("questions", "answers")],
    ),
    "camel-source": App(
        [
            Pipe(
                [
                    agent(
                        "camel-source",
                        {
                            "component-uri": "github:pullRequest/main",
                            "component-options": {
                                "repoOwner": "${globals.owner}",
                                "oauthToken": "${secrets.github.token}",
                                "delay": 60000,
                            },
                            "max-buffered-records": 10,
                            "key-header": "CamelGitHubPullRequestHeadCommitSHA",
                        },
                    ),
                    FIELDS,
                ],
                output="output",
            )
        ],
        2,
        ["output"],
        [],
        [consume("output", "github")],
        {"owner": "an-owner"},
        [jar("camel-github"), jar("eclipse-egit")],
    ),
    "chatbot-rag-memory": App(
        [
            Pipe(ingest(crawler()), output="${globals.chunks-topic}"),
            Pipe([ASTRA_SINK], input="${globals.chunks-topic}", assets=[KEYSPACE, ASTRA_TABLE]),
            Pipe(
                [
                    DTJ,
                    lookup(
                        "query",
                        "Db",
                        "SELECT question FROM docs.history WHERE session = ? LIMIT 5",
                        fields=["properties.sessionid"],
                        output="value.history",
                    ),
                    chat(**{"completion-field": "value.rephrased"}),
                    embed("value.rephrased", "value.question_embeddings"),
                    lookup("query", "Db", CQL),
                    chat("${globals.stream-response-topic}"),
                    agent(
                        "vector-db-sink",
                        {
                            "datasource": "Db",
                            "table-name": "history",
                            "keyspace": "docs",
                            "mapping": "session=header.sessionid, ts=now(), question=value.question",
                        },
                    ),
                ],
                input="${globals.questions-topic}",
                assets=[
                    asset(
                        "cassandra-table",
                        "history",
                        **{
                            "table-name": "history",
                            "keyspace": "docs",
                            "create-statements": ["CREATE TABLE IF NOT EXISTS docs.history (a int)"],
                        },
                    )
                ],
            ),
        ],
        4,
        [
            "${globals.chunks-topic}",
            "${globals.questions-topic}",
            "${globals.answers-topic}",
            "${globals.stream-response-topic}",
        ],
        [OPENAI, ASTRA, ASTRA_VECTORS],
        [
            produce(
                "${globals.questions-topic}",
                **signed_in("github"),
                parameters=[],
                produceOptions={"headers": [{"key": "sessionid", "valueFromAuthentication": "login"}]},
            ),
            consume(
                "${globals.stream-response-topic}",
                **signed_in("github"),
                parameters=[],
                consumeOptions={
                    "filters": {"headers": [{"key": "sessionid", "valueFromAuthentication": "login"}]}
                },
            ),
        ],
        {
            "chunks-topic": "chunks",
            "questions-topic": "questions",
            "answers-topic": "answers",
            "stream-response-topic": "stream",
        },
        deleted=True,
    ),
    "compute-hugging-face": App(
        [Pipe([chat(model="bert-base-uncased")], input="input", output="output")], 1, IN_OUT, [HUGGING_FACE]
    ),
    "compute-hugging-face-embeddings": App(
        [
            Pipe(
                [
                    DTJ,
                    embed(
                        model="multilingual-e5-small",
                        **{"model-url": "djl://ai.djl.huggingface.pytorch/intfloat/multilingual-e5-small"},
                    ),
                ],
                input="input",
                output="output",
            )
        ],
        1,
        IN_OUT,
        [HUGGING_FACE_LOCAL],
        [produce("input"), consume("output")],
    ),
    "compute-openai-embeddings": App([Pipe([embed()], input="input", output="output")], 1, IN_OUT, [OPENAI]),
    "compute-vertexai": App(
        [Pipe([embed(model="textembedding-gecko")], input="input", output="output")], 1, IN_OUT, [VERTEX]
    ),
    "docker-chatbot": App(
        [
            Pipe(ingest(crawler(), DELETE_OLD, JDBC_SINK), assets=[table()]),
            questions(JDBC_RETRIEVAL, RE_RANK),
        ],
        3,
        CHAT_TOPICS,
        [JDBC, OPENAI],
        TALK,
        dependencies=HERDDB,
    ),
    "flare": App(
        [
            Pipe(ingest(crawler()), output="chunks"),
            Pipe([JDBC_SINK], input="chunks", assets=[table()]),
            Pipe([DTJ, FIELDS], input="input", output="loop"),
            Pipe(
                [
                    embed("record.text", "record.embeddings", **{"loop-over": "value.documents_to_retrieve"}),
                    lookup(
                        "query-vector-db",
                        "Db",
                        SQL,
                        fields=["record.embeddings"],
                        **{"loop-over": "value.documents_to_retrieve"},
                    ),
                    agent(
                        "compute",
                        {
                            "fields": [
                                {
                                    "name": "value.related",
                                    "expression": "fn:addAll(value.related, value.found)",
                                }
                            ]
                        },
                    ),
                    text(logprobs="5", **{"logprobs-field": "value.tokens", "max-tokens": 100}),
                    agent(
                        "flare-controller",
                        {
                            "tokens-field": "value.tokens.tokens",
                            "logprobs-field": "value.tokens.logprobs",
                            "loop-topic": "loop",
                            "retrieve-documents-field": "value.documents_to_retrieve",
                        },
                    ),
                    FIELDS,
                ],
                input="loop",
                output="output",
            ),
        ],
        5,
        ["chunks", "input", "loop", "output"],
        [JDBC, OPENAI],
        [produce("input"), consume("output")],
        dependencies=HERDDB,
    ),
    "gateway-authentication": App(
        [Pipe([agent("identity")], input="input", output="output")],
        1,
        IN_OUT,
        [],
        [
            produce("input", "produce"),
            consume("output", "consume"),
            *(
                make(topic, f"{name}-{provider}", **signed_in(provider))
                for provider in ("google", "github")
                for make, topic, name in ((produce, "input", "produce"), (consume, "output", "consume"))
            ),
            conversation("input", "output"),
        ],
    ),
    "http-request-processor": App(
        [
            Pipe(
                [
                    agent("document-to-json", {"text-field": "city"}),
                    agent(
                        "http-request",
                        {
                            "url": "https://geocoding.example.com/v1/search",
                            "method": "GET",
                            "query-string": {"name": "{{{value.city}}}", "count": "1"},
                            "headers": {"X-App": "shapes"},
                            "output-field": "value.response",
                        },
                    ),
                    FIELDS,
                    DROP,
                ],
                input="input",
                output="output",
            )
        ],
        1,
        IN_OUT,
        [],
        [
            {
                "id": "chat",
                "type": "chat",
                "chat-options": {"questions-topic": "input", "answers-topic": "output"},
            }
        ],
    ),
    "kafka-connect": App(
        [
            Pipe(
                [
                    agent(
                        "sink",
                        {
                            "connector.class": "com.datastax.oss.kafka.sink.CassandraSinkConnector",
                            "key.converter": "org.apache.kafka.connect.storage.StringConverter",
                            "name": "cassandra-sink",
                            "auth.password": "${secrets.cassandra.password}",
                            "topic.input.docs.documents.mapping": "id=key",
                        },
                        resources={"size": 2},
                    )
                ],
                input="input",
            )
        ],
        1,
        ["input"],
        [],
        [produce("input")],
        dependencies=[jar("cassandra-sink")],
    ),
    "langchain-chat": App(
        [
            Pipe(ingest(crawler(), ASTRA_SINK), assets=[KEYSPACE, ASTRA_TABLE]),
            Pipe(
                [agent("python-processor", {"className": "langchain_chat.LangChainChat"})],
                input="questions",
                output="answers",
                errors="skip",
            ),
        ],
        3,
        ["questions", "answers"],
        [OPENAI, ASTRA],
        PAIR,
    ),
    "langchain-document-loader": App(
        [
            Pipe(
                [
                    agent("python-source", {"className": "loader.Source", "load-interval": 60}),
                    agent("python-processor", {"className": "loader.Splitter"}),
                ],
                output="output",
            )
        ],
        2,
        ["output"],
        [],
        [consume("output")],
    ),
    "langchain-source": App(
        [
            Pipe(
                [
                    agent(
                        "python-source",
                        {"className": "s3_langchain.S3LangChain", "bucketName": "${secrets.s3.bucket-name}"},
                    )
                ],
                output="output",
            )
        ],
        1,
        ["output"],
    ),
    "langserve-invoke": App(
        [
            Pipe(
                [
                    agent(
                        "langserve-invoke",
                        {
                            "url": "http://host.example.com:8000/chain/stream",
                            "output-field": "value.answer",
                            "stream-to-topic": "streaming",
                            "stream-response-field": "value",
                            "min-chunks-per-message": 10,
                            "debug": "true",
                            "method": "POST",
                            "allow-redirects": True,
                            "handle-cookies": False,
                            "fields": [{"name": "topic", "expression": "value"}],
                        },
                    )
                ],
                input="input",
                output="output",
            )
        ],
        1,
        [*IN_OUT, "streaming"],
        [],
        [conversation("input", "streaming")],
    ),
    "llamaindex-cassandra-sink": App(
        [
            Pipe(
                [
                    agent(
                        "python-sink",
                        {
                            "className": "cassandra_sink.LlamaIndexCassandraSink",
                            "openaiKey": "${secrets.open-ai.access-key}",
                            "cassandra": {"contact-points": "x"},
                        },
                    )
                ],
                input="input",
            )
        ],
        1,
        ["input"],
    ),
    "ollama-chatbot": App(
        [
            Pipe(ingest(crawler(), DELETE_OLD, JDBC_SINK), assets=[table()]),
            questions(JDBC_RETRIEVAL, LOG, RE_RANK),
        ],
        3,
        CHAT_TOPICS,
        [JDBC, OLLAMA, HUGGING_FACE_LOCAL],
        TALK,
        dependencies=HERDDB,
    ),
    "openai-completions": App(
        [Pipe([DTJ, chat("output")], input="input", output="history")],
        1,
        ["input", "output", "history"],
        [OPENAI],
        [
            produce("input"),
            consume("output"),
            debug("history"),
            conversation("input", "output"),
            produce("input", "p-auth", **signed_in("google")),
            consume("output", "c-auth", **signed_in("google")),
        ],
    ),
    "openai-text-completions": App(
        [
            Pipe(
                [DTJ, text(**{"stream-to-topic": "answers", "stream-response-completion-field": "value"})],
                input="questions",
                output="debug",
            )
        ],
        1,
        ["questions", "answers", "debug"],
        [OPENAI],
        [conversation("questions", "answers")],
    ),
    "langserve-service": App(
        [Pipe([agent("python-service", {"className": "example.ChatBotService"}, id="chat-service")])],
        1,
        [],
        [],
        [{"id": "chatbot", "type": "service", "service-options": {"agent-id": "chat-service"}}],
    ),
    "python-processor-embeddings": App(
        [
            Pipe(
                [
                    agent(
                        "python-processor",
                        {"className": "embeddings.Embedding", "secret": "${secrets.open-ai.access-key}"},
                    )
                ],
                input="input",
                output="output",
            )
        ],
        1,
        IN_OUT,
    ),
    "python-processor-exclamation": App(
        [Pipe([agent("python-processor", PYTHON)], input="input", output="output")],
        1,
        IN_OUT,
        [],
        [produce("input"), consume("output")],
    ),
    "python-function": App(
        [Pipe([agent("python-function", PYTHON)], input="input", output="output")], 1, IN_OUT
    ),
    "python-sink-exclamation": App(
        [Pipe([agent("python-sink", PYTHON)], input="input")], 1, ["input"], [], [produce("input")]
    ),
    "python-source-exclamation": App(
        [Pipe([agent("python-source", PYTHON)], output="output")], 1, ["output"], [], [consume("output")]
    ),
    "query-astradb": App(
        [Pipe([lookup("query", "Db", CQL, fields=["value.id"])], input="input", output="output")],
        1,
        IN_OUT,
        [ASTRA],
    ),
    "query-milvus": App(
        [
            Pipe(ingest(crawler()), output="chunks"),
            Pipe(
                [
                    named(
                        "Db",
                        ("filename", "value.filename"),
                        ("vector", "fn:toListOfFloat(value.embeddings)"),
                        **{"collection-name": "docs", "database-name": "default"},
                    )
                ],
                input="chunks",
                assets=[
                    asset(
                        "milvus-collection",
                        "docs",
                        **{
                            "collection-name": "docs",
                            "database-name": "default",
                            "create-statements": [
                                '{"command": "create-collection", "collection-name": "docs"}',
                                '{"command": "load-collection"}',
                            ],
                        },
                    )
                ],
            ),
            questions(
                lookup("query-vector-db", "Db", '{"collection-name": "docs", "vectors": ?, "top-k": 10}')
            ),
        ],
        4,
        ["chunks", *CHAT_TOPICS],
        [MILVUS, OPENAI],
        TALK,
    ),
    "query-opensearch": App(
        [
            Pipe(
                [
                    agent("document-to-json", {"text-field": "text"}),
                    embed(),
                    named(
                        "Db",
                        ("text", "value.text"),
                        ("embeddings", "value.embeddings"),
                        **{
                            "id": "key",
                            "bulk-parameters": {"timeout": "2m", "refresh": True, "require_alias": "false"},
                            "flush-interval": 100,
                        },
                    ),
                ],
                input="vectors",
                assets=[
                    asset(
                        "opensearch-index",
                        "documents",
                        settings='{"index": {"knn": true}}',
                        mappings='{"properties": {}}',
                    )
                ],
            ),
            Pipe(
                [
                    DTJ,
                    QUESTION_VECTOR,
                    lookup(
                        "query-vector-db", "Db", '{"query": {"knn": {"embeddings": {"vector": ?, "k": 1}}}}'
                    ),
                    FIELDS,
                ],
                input="input",
                output="output",
            ),
        ],
        2,
        ["vectors", *IN_OUT],
        [OPENSEARCH, OPENAI],
        [produce("vectors", "fill-index"), conversation("input", "output")],
    ),
    "query-pinecone": App(
        [
            Pipe(
                [
                    QUESTION_VECTOR,
                    lookup(
                        "query-vector-db",
                        "Db",
                        '{"vector": ?, "topK": 5, "filter": {"$and": [{"genre": {"$eq": ?}}]}}',
                        fields=["value.question_embeddings", "value.genre"],
                    ),
                    DROP,
                ],
                input="input",
                output="output",
            ),
            Pipe(
                [
                    embed("value.document"),
                    agent(
                        "vector-db-sink",
                        {
                            "datasource": "Db",
                            "vector.id": "value.id",
                            "vector.vector": "value.embeddings",
                            "vector.namespace": "",
                            "vector.metadata.genre": "value.genre",
                            "vector.metadata.document": "value.document",
                        },
                    ),
                ],
                input="vectors",
            ),
        ],
        2,
        ["vectors", *IN_OUT],
        [PINECONE, OPENAI],
    ),
    "query-postgresql-chat-history": App(
        [
            Pipe(
                [
                    DTJ,
                    lookup(
                        "query",
                        "Db",
                        "SELECT * FROM history WHERE session = ? LIMIT 5",
                        fields=["properties.client_session_id"],
                        output="value.history",
                    ),
                    chat(),
                    lookup(
                        "query",
                        "Db",
                        "INSERT INTO history VALUES (?, ?)",
                        fields=["properties.client_session_id", "value.question"],
                        output="value.done",
                        mode="execute",
                    ),
                ],
                input="input",
                output="output",
                assets=[
                    table(**{"delete-statements": ["DROP TABLE documents"]}) | {"deletion-mode": "delete"}
                ],
            ),
            Pipe(
                [
                    agent("timer-source", {"period-seconds": 60}),
                    lookup(
                        "query",
                        "Db",
                        "DELETE FROM history WHERE ts < ?",
                        fields=["fn:now()"],
                        output="value.deleted",
                        mode="execute",
                    ),
                    agent("log-event", {"fields": [{"name": "deleted", "expression": "value.deleted"}]}),
                ]
            ),
        ],
        3,
        IN_OUT,
        [POSTGRES, OPENAI],
        [produce("input"), consume("output")],
        dependencies=[jar("postgresql")],
    ),
    "query-solr": App(
        [
            Pipe(ingest(crawler()), output="chunks"),
            Pipe(
                [
                    named(
                        "Db",
                        ("id", "value.filename"),
                        ("embeddings", "value.embeddings"),
                        **{"commit-within": 100},
                    )
                ],
                input="chunks",
                assets=[
                    asset(
                        "solr-collection",
                        "documents",
                        **{
                            "create-statements": [
                                {"api": "/api/collections", "method": "POST", "body": '"name": "documents"'},
                                {"api": "/schema", "body": '{"add-field": {}}'},
                            ]
                        },
                    )
                ],
            ),
            questions(lookup("query-vector-db", "Db", '{"q": "{!knn f=embeddings topK=10}?"}')),
        ],
        4,
        ["chunks", *CHAT_TOPICS],
        [SOLR, OPENAI, HUGGING_FACE_LOCAL],
        TALK,
    ),
    "s3-source": App(
        [
            Pipe(
                ingest(
                    agent(
                        "s3-source",
                        {
                            "bucketName": "${secrets.s3.bucket-name}",
                            "endpoint": "${secrets.s3.endpoint}",
                            "access-key": "${secrets.s3.access-key}",
                            "secret-key": "${secrets.s3.secret}",
                            "region": "${secrets.s3.region}",
                            "idle-time": 5,
                            "file-extensions": "pdf,docx",
                        },
                    ),
                    DELETE_OLD,
                    JDBC_SINK,
                ),
                assets=[table()],
            ),
            questions(JDBC_RETRIEVAL, RE_RANK),
        ],
        3,
        CHAT_TOPICS,
        [JDBC, OPENAI],
        PAIR,
        dependencies=HERDDB,
    ),
    "slack": App(
        [
            Pipe(
                [
                    DTJ,
                    agent(
                        "http-request",
                        {
                            "url": "${globals.slack.url}",
                            "method": "POST",
                            "headers": {"Content-Type": "application/json"},
                            "body": '{"text": "{{{value.question}}}"}',
                            "output-field": "value.response",
                        },
                    ),
                ],
                input="input",
            )
        ],
        1,
        ["input"],
        [],
        [produce("input")],
        {"slack": {"url": "https://hooks.example.com/services"}},
    ),
    "vertexai-text-completions": App(
        [Pipe([DTJ, text(model="text-bison")], input="questions", output="answers")],
        1,
        ["questions", "answers"],
        [VERTEX],
        [conversation("questions", "answers")],
    ),
    "webcrawler-astra-vector-db": App(
        [
            Pipe(ingest(crawler()), output="chunks"),
            Pipe(
                [
                    lookup(
                        "query-vector-db",
                        "Db",
                        '{"collection-name": "docs", "filter": {"filename": ?}}',
                        fields=["value.filename"],
                        output="value.stale",
                    ),
                    FIELDS,
                    lookup(
                        "query-vector-db",
                        "Db",
                        '{"action": "deleteOne", "collection-name": "docs", "filter": {"_id": ?}}',
                        fields=["record.id"],
                        mode="execute",
                        **{"loop-over": "value.stale"},
                    ),
                    LOG,
                    named(
                        "Db",
                        ("id", "fn:concat(value.filename, value.chunk_id)"),
                        ("vector", "value.embeddings"),
                        ("data", "value"),
                        **{"collection-name": "docs", "when": "true"},
                    ),
                ],
                input="chunks",
                assets=[
                    asset("astra-collection", "docs", **{"collection-name": "docs", "vector-dimension": 1536})
                ],
            ),
            questions(
                lookup("query-vector-db", "Db", '{"collection-name": "docs", "limit": 20, "vector": ?}'),
                RE_RANK,
            ),
        ],
        4,
        ["chunks", *CHAT_TOPICS],
        [ASTRA_API, OPENAI],
        TALK,
    ),
    "webcrawler-source": App(
        [
            Pipe(ingest(crawler(**{"state-storage": "disk"})), output="chunks"),
            Pipe([DELETE_OLD, ASTRA_SINK], input="chunks", assets=[ASTRA_TABLE]),
            questions(lookup("query", "Db", CQL), RE_RANK),
        ],
        4,
        ["chunks", *CHAT_TOPICS],
        [ASTRA, OPENAI],
        TALK,
    ),
    "cassandra": App(
        [
            Pipe(
                [ASTRA_SINK],
                input="input",
                assets=[
                    asset(
                        "cassandra-keyspace",
                        "docs",
                        keyspace="docs",
                        **{"create-statements": ["CREATE KEYSPACE docs"]},
                    ),
                    ASTRA_TABLE,
                ],
            )
        ],
        1,
        ["input"],
        [CASSANDRA],
    ),
    "kafka-connect-source": App(
        [
            Pipe(
                [
                    agent(
                        "source",
                        {
                            "connector.class": "an.example.Connector",
                            "offset.storage.topic": "offsets",
                            "tasks": 1,
                        },
                    ),
                    FIELDS,
                ],
                output="output",
            )
        ],
        2,
        ["output"],
    ),
    "dispatch-and-trigger": App(
        [
            Pipe(
                [
                    agent(
                        "trigger-event",
                        {
                            "destination": "alarms",
                            "when": "value.hot",
                            "fields": [{"name": "value.alarm", "expression": "true"}],
                            "continue-processing": False,
                        },
                    ),
                    agent(
                        "dispatch",
                        {
                            "routes": [
                                {"when": "value.language == 'fr'", "destination": "french"},
                                {"when": "value.spam", "action": "drop"},
                            ]
                        },
                    ),
                    agent("cast", {"schema-type": "STRING"}),
                    agent("flatten"),
                    agent("merge-key-value"),
                    agent("unwrap-key-value", {"unwrapKey": True}),
                    agent("drop", {"when": "value == null"}),
                ],
                input="input",
                output="output",
            )
        ],
        1,
        [*IN_OUT, "alarms", "french"],
    ),
}

# The one that cannot be planned: its OpenSearch resource names no index.
RAG_AWS = App(
    [
        Pipe(
            ingest(
                agent(
                    "s3-source",
                    {"bucketName": "${secrets.s3.bucket-name}", "endpoint": "${secrets.s3.endpoint}"},
                ),
                named("Db", ("text", "value.text")),
                language=False,
            ),
            assets=[asset("opensearch-index", "documents", settings="{}", mappings="{}")],
        ),
        Pipe(
            [DTJ, QUESTION_VECTOR, lookup("query-vector-db", "Db", '{"query": ?}'), RE_RANK, chat(), FIELDS],
            input="questions",
            output="answers",
        ),
    ],
    3,
    ["questions", "answers"],
    [BEDROCK, OPENSEARCH_WITHOUT_INDEX],
    [conversation("questions", "answers")],
)

_SECRETS: dict[str, tuple[str, ...]] = {
    "open-ai": ("access-key", "url", "provider", "embeddings-model", "chat-completions-model"),
    "hugging-face": ("key",),
    "vertex": ("url", "region", "project", "token"),
    "aws": ("key", "secret"),
    "ollama": ("url",),
    "db": ("url", "user", "password"),
    "astra": ("id", "secret", "token", "database", "endpoint"),
    "search": ("host",),
    "pinecone": ("key", "environment"),
    "milvus": ("user", "password", "host", "port"),
    "solr": ("host",),
    "s3": ("bucket-name", "endpoint", "access-key", "secret", "region"),
    "azure": ("container", "endpoint", "sas-token", "name", "key", "connection"),
    "github": ("token",),
    "cassandra": ("password",),
    "sign-in": ("client-id", "client-secret"),
}
_DEFAULTS = {"provider": "openai", "port": "19530", "sas-token": "", "name": "", "key": "", "connection": ""}


def secrets() -> Part:
    """The secrets that all of them share, with defaults for a machine on which nothing is set."""
    return {
        "secrets": [
            {
                "id": name,
                "data": {
                    key: f"${{SHAPES_{name}_{key}:-{_DEFAULTS.get(key, 'planted-value')}}}" for key in keys
                },
            }
            for name, keys in _SECRETS.items()
        ]
    }
