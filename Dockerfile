# The reference app's backend. Build: docker build -t planner .  Run: docker run -p 4111:4111 planner
FROM python:3.12-slim AS build

WORKDIR /build
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY mastra ./mastra
RUN pip wheel --no-cache-dir --wheel-dir /wheels .

FROM python:3.12-slim

RUN useradd --create-home --uid 10001 app
WORKDIR /app
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir /wheels/*.whl && rm -rf /wheels
COPY agents ./agents
COPY tools ./tools
COPY workflows ./workflows
COPY app ./app

USER app
ENV PYTHONUNBUFFERED=1 MASTRA_APP=app.deployed:mastra
EXPOSE 4111
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:4111/health', timeout=2)"]
# A stop gives runs 30 seconds to reach the end of a step: let `docker stop --time 40` wait for that.
STOPSIGNAL SIGTERM
CMD ["mastra", "start", "--host", "0.0.0.0", "--json"]
