"""The metrics and prompt suites that ship with the project, by name."""

METRICS = {  # each describes itself (``Metric.about``)
    "scene_accuracy": "gandiff.evaluate.metrics.alignment:SceneAccuracy",
    "clip_score": "gandiff.evaluate.metrics.alignment:ClipScore",
    "r_precision": "gandiff.evaluate.metrics.retrieval:RPrecision",
    "fd": "gandiff.evaluate.metrics.frechet:FrechetDistance",
    "fd_inf": "gandiff.evaluate.metrics.frechet:FrechetInfinity",
    "kid": "gandiff.evaluate.metrics.mmd:KernelDistance",
    "cmmd": "gandiff.evaluate.metrics.mmd:Cmmd",
    "precision": "gandiff.evaluate.metrics.manifold:Precision",
    "recall": "gandiff.evaluate.metrics.manifold:Recall",
    "density": "gandiff.evaluate.metrics.manifold:Density",
    "coverage": "gandiff.evaluate.metrics.manifold:Coverage",
    "diversity": "gandiff.evaluate.metrics.diversity:PromptDiversity",
    "unstated": "gandiff.evaluate.metrics.unstated:UnstatedAttributes",
    "near_duplicates": "gandiff.evaluate.metrics.duplicates:NearDuplicates",
    "vendi": "gandiff.evaluate.metrics.diversity:Vendi",
    "edit_success": "gandiff.evaluate.metrics.edit_success:EditSuccess",
    "edit_direction": "gandiff.evaluate.metrics.edit_success:EditDirection",
    "kept_psnr": "gandiff.evaluate.metrics.kept_region:KeptPsnr",
    "kept_distance": "gandiff.evaluate.metrics.kept_region:KeptDistance",
    "seam": "gandiff.evaluate.metrics.kept_region:Seam",
    "outline_overlap": "gandiff.evaluate.metrics.control_fit:OutlineOverlap",
    "depth_order": "gandiff.evaluate.metrics.control_fit:DepthOrder",
}
SUITES = {
    "scenes": "captions of rendered scenes, with ground truth",
    "scene-edits": "changes of rendered scenes, with pictures and ground truth, for tasks",
}
