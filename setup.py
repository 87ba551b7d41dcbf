from setuptools import find_packages, setup

setup(
    name="fairseq-bahdanau",
    version="0.1.0",
    description="RNNsearch (Bahdanau, Cho and Bengio 2014) for fairseq: BiGRU, additive attention, maxout readout",
    long_description=open("README.md", encoding="utf-8").read(),
    long_description_content_type="text/markdown",
    license="MIT",
    packages=find_packages(include=["fairseq_bahdanau", "fairseq_bahdanau.*"]),
    package_data={"fairseq_bahdanau": ["config/*.yaml"]},
    python_requires=">=3.8",
    # fairseq itself is left to the user: fairseq 0.12.2 (Python 3.8 to 3.10), its git main and ve-fairseq 0.12.3
    # (Python 3.11, 3.12) share one import name, and installing one over another would break it.
    install_requires=["torch>=1.13", "numpy>=1.21", "omegaconf>=2.0.6"],
    extras_require={
        "fairseq": ["fairseq==0.12.2; python_version<'3.11'", "ve-fairseq==0.12.3; python_version>='3.11'"],
        # matplotlib sets labels in several fonts from 3.6 on, right-to-left and joined ones from 3.11 on.
        "recipes": ["sacrebleu>=2.0", "sentencepiece>=0.1.96", "sacremoses>=0.1", "matplotlib>=3.6"],
        "test": ["pytest>=7", "pytest-xdist>=3"],
    },
)
