# Bootstrap only: the pipeline itself is the Snakefile. `make help` lists what there is.
#   make demo                                    install into .venv, run everything on drawn images
#   make run PRESET=voc12-animals DATA=FOLDER    any preset of configs/ on any data
#   make run PRESET=demo SET="01_train_priors.epochs=2 seeds=[0,1]"

PRESET ?= demo
CORES ?= all
PYTHON ?=
# texts of the user reach tools/run.py as they are: neither make nor a shell looks inside of them
override PRESET := $(value PRESET)
override CORES := $(value CORES)
override DATA := $(value DATA)
override SET := $(value SET)
override PROFILE := $(value PROFILE)
export PYTHON PIP_ARGS TORCH TORCH_INDEX LOCKED UPGRADE PRESET CORES DATA SET PROFILE
# idle threads of PyTorch's OpenMP otherwise spin, and a second busy process slows everything tenfold
export OMP_WAIT_POLICY = PASSIVE
# keep freed memory: feature maps of the same sizes come again at every step, and fresh pages cost as much as a layer
export MALLOC_MMAP_THRESHOLD_ = 1073741824
export MALLOC_TRIM_THRESHOLD_ = 4294967296
# and ask for it in large pages, where Linux gives them to whoever asks
export GLIBC_TUNABLES = glibc.malloc.hugetlb=1
# keep the compiled kernels of all sizes of images: oneDNN keeps 1024, and where sizes and batches vary makes them anew
export ONEDNN_PRIMITIVE_CACHE_CAPACITY = 8192

# keep compiled bytecode: else every notebook spends ten seconds on compiling the same sources of PyTorch again
unexport PYTHONDONTWRITEBYTECODE

VENV ?= .venv/bin/python
# VENV=python: the active environment, conda's for instance; nothing is installed then
INSTALLED := $(if $(filter .venv/bin/python,$(VENV)),.venv/.installed)

.PHONY: help demo run verify test lab html bench hooks lock clean install

help:
	@echo "make demo                 run the whole pipeline on drawn images, minutes on a laptop"
	@echo "make test                 run all tests"
	@echo "make lab                  open the notebooks in JupyterLab"
	@echo "make run PRESET=...       run a preset: $$(ls configs/*.yaml | sed 's|configs/||; s|[.]yaml||' | tr '\n' ' ')"
	@echo "         DATA=FOLDER      of the data set    CORES=N    SET=\"notebook.parameter=value ...\"    DRY=1 to look only    PROFILE=profiles/slurm"
	@echo "make verify PRESET=...    compare results/ of an own run with the committed reports/;  STRICT=1 to the last digit"
	@echo "make html                 make site/ of the executed notebooks in results/ and reports/"
	@echo "make bench                measure the library on this machine"
	@echo "make hooks                check and strip notebooks before every git commit"
	@echo "make lock                 renew requirements-lock.txt after a change of pyproject.toml;  UPGRADE=1 to the newest releases"
	@echo "make clean                remove runs/, results/, site/ and caches; keep .venv, data/ and reports/"
	@echo "make demo PYTHON=...      with another Python;  PIP_ARGS=...  more arguments for pip;  VENV=python  in the active environment"
	@echo "         TORCH=cpu        PyTorch without CUDA, from TORCH_INDEX=...;  LOCKED=no  the newest releases instead of the locked ones"
	@echo "         REFERENCE=1      write into reports/, the committed reference, instead of results/ (for maintainers)"

demo: $(INSTALLED)
	@$(VENV) tools/run.py demo --cores "$$CORES" --set="$$SET" $(if $(REFERENCE),--reference)
	@echo
	@echo "Done. Look at:"
	@echo "  results/demo/             executed notebooks, in order; tables/*.csv and figures/*.png beside them"
	@echo "  make verify               are these the committed numbers?"
	@echo "  make html                 the same as a small web site"
	@echo "  make lab                  the notebooks, to read and change"

run: $(INSTALLED)
	@$(VENV) tools/run.py --cores="$$CORES" --data="$$DATA" --set="$$SET" --profile="$$PROFILE" $(if $(DRY),--dry-run) $(if $(REFERENCE),--reference) -- "$$PRESET"

verify: $(INSTALLED)
	@$(VENV) tools/verify.py $(if $(STRICT),--strict) -- "$$PRESET"

test: $(INSTALLED)
	@HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(VENV) -m pytest -n auto --dist loadfile --no-loadscope-reorder --durations 20 $(PYTEST_ARGS)

lab: $(INSTALLED)
	@$(VENV) -m jupyter lab notebooks

html: $(INSTALLED)
	@$(VENV) tools/build_site.py

bench: $(INSTALLED)
	@for script in benchmarks/*.py; do echo "== $$script"; $(VENV) "$$script" || exit 1; done

hooks: $(INSTALLED)
	@$(VENV) -m pre_commit install

lock:
	@sh tools/lock.sh

install: $(INSTALLED)

.venv/.installed: pyproject.toml requirements-lock.txt
	@sh tools/install.sh
	@touch $@

clean:
	rm -rf runs results site .snakemake .pytest_cache .ruff_cache build *.egg-info
	find pnoc_lib tests tools notebooks benchmarks -name __pycache__ -prune -exec rm -rf {} +
	find notebooks -name .ipynb_checkpoints -prune -exec rm -rf {} +
