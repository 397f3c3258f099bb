# The Astro SDK needs Airflow 2 and an older pandas, so it lives in an interpreter of its own. That is built in a
# stage apart: a change of the project's code does not build it again.
FROM astrocrpublic.azurecr.io/runtime:3.3-8-python-3.12-base AS astro_sdk
COPY include/astro_sdk/requirements.lock /tmp/requirements.lock
RUN python -m venv /usr/local/airflow/astro_sdk \
    && /usr/local/airflow/astro_sdk/bin/pip install --no-cache-dir --require-hashes -r /tmp/requirements.lock

# The image of the project. It installs packages.txt and requirements.txt and copies the project by itself.
FROM astrocrpublic.azurecr.io/runtime:3.3-8-python-3.12
COPY --from=astro_sdk --chown=astro:0 /usr/local/airflow/astro_sdk /usr/local/airflow/astro_sdk
USER astro
ENV ASTRO_SDK_PYTHON=/usr/local/airflow/astro_sdk/bin/python
ENV MLFLOW_DISABLE_TELEMETRY=true
# An empty volume takes over the owner of the folder that it is mounted on.
RUN mkdir -p /usr/local/airflow/landing /usr/local/airflow/cold
