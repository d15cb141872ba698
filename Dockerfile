# The reference app's backend. Build: docker build -t planner .  Run: docker run -p 4111:4111 planner
# Packages come from the lock files with their hashes, so that tomorrow's build has what today's has.
FROM python:3.12.12-slim-bookworm AS build

WORKDIR /build
COPY requirements/build.txt ./
RUN pip install --no-cache-dir --no-deps --require-hashes -r build.txt
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY scripts/long_description.py ./scripts/
COPY mastra ./mastra
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels .

FROM python:3.12.12-slim-bookworm

RUN useradd --create-home --uid 10001 app
WORKDIR /app
COPY requirements/app.txt ./
RUN pip install --no-cache-dir --no-deps --require-hashes -r app.txt && rm app.txt
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir --no-deps /wheels/*.whl && rm -rf /wheels && pip check
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
